"""Small datasets of the kinds that people bring, right lessons on each, and what only gives an answer away."""

from __future__ import annotations

from tfgrpo.types import Problem


def rows(name: str, pairs: list[tuple[str, str]]) -> tuple[Problem, ...]:
    """Problems of one dataset."""
    return tuple(Problem(f"{name}-{i}", question, answer) for i, (question, answer) in enumerate(pairs))


CLASSIFICATION = rows("class", [
    ("Classify the message: I was charged twice for Order 4411 on Monday.", "Billing"),
    ("Classify the message: the invoice of May shows a wrong VAT rate.", "Billing"),
    ("Classify the message: I cannot log in since the password reset.", "Account"),
    ("Classify the message: please change the email of my profile.", "Account"),
    ("Classify the message: my parcel is late by 9 days.", "Shipping"),
    ("Classify the message: the courier left the parcel at the wrong door.", "Shipping"),
    ("Classify the message: the app crashes when I open the map.", "Technical"),
    ("Classify the message: error 503 on every upload.", "Technical"),
])  # fmt: skip
EXTRACTION = rows("extract", [
    ("From the invoice 'INV-20931, Meyer GmbH, due 14 March 2024, 1,890.40 EUR' give the number.", "INV-20931"),
    ("From the invoice 'INV-77120, Okafor Ltd, due 2 June 2024, 310.00 EUR' give the payer.", "Okafor Ltd"),
    ("From the invoice 'INV-55007, Lindqvist AB, due 9 May 2024, 12,445.75 EUR' give the amount.", "12445.75"),
    ("From the invoice 'INV-10467, no payer named, 88.20 EUR' give the payer.", "unknown"),
    ("From the invoice 'INV-33981, sum unreadable' give the amount.", "unknown"),
    ("From the letter of Dr Amara Vasquez of 17 July give the sender.", "Amara Vasquez"),
])  # fmt: skip
ROUTING = rows("route", [
    ("Which team: the router in building Kestrel drops packets.", "team-network"),
    ("Which team: DNS fails on floor 3.", "team-network"),
    ("Which team: a laptop of Priya needs a new battery.", "team-hardware"),
    ("Which team: printer jams in room 212.", "team-hardware"),
    ("Which team: cannot open the payroll file of Bertrand.", "escalate"),
    ("Which team: possible phishing mail from Halvorsen.", "escalate"),
])  # fmt: skip
STYLE = rows("style", [
    ("Is this review polite? 'Dear Sofia, thanks for the quick reply.'", "yes"),
    ("Is this review polite? 'This is the worst shop of Rotterdam.'", "no"),
    ("Is this review polite? 'Kindly look at ticket 90871 again.'", "yes"),
    ("Is this review polite? 'You people never read anything.'", "no"),
    ("Rewrite formally: gonna send it tmrw, Tunde.", "I will send it tomorrow, Tunde."),
    ("Rewrite formally: can't make it, ping Ingrid.", "I cannot attend; please contact Ingrid."),
])  # fmt: skip
FORMATTING = rows("format", [
    ("Write the date 7/3/2021 of the Zeppelin order in ISO form.", "2021-03-07"),
    ("Write the date 23/11/1998 of the Monza race in ISO form.", "1998-11-23"),
    ("Write 1234567.891 with separators and 2 decimals.", "1,234,567.89"),
    ("Write 88450.5 with separators and 2 decimals.", "88,450.50"),
    ("Give the name Fatou Ndiaye as last name, first name.", "Ndiaye, Fatou"),
    ("Give the name Olga Petrenko as last name, first name.", "Petrenko, Olga"),
])  # fmt: skip
SQL = rows("sql", [
    ("Table Customers(id, city, deleted_at). Names of active customers of Bergen.",
     "SELECT name FROM Customers WHERE city = 'Bergen' AND deleted_at IS NULL"),
    ("Table Orders(id, customer_id, total). Sum of totals of customer 7741.",
     "SELECT SUM(total) FROM Orders WHERE customer_id = 7741"),
    ("Tables Customers, Orders. Customers without orders, Customers(id, name).",
     "SELECT c.name FROM Customers c LEFT JOIN Orders o ON o.customer_id = c.id WHERE o.id IS NULL"),
    ("Table Orders(id, total). The second largest total.", "SELECT MAX(total) FROM Orders WHERE total < 98213"),
    ("Tables Customers, Orders. How many orders has Quigley?",
     "SELECT COUNT(*) FROM Orders o JOIN Customers c ON c.id = o.customer_id WHERE c.name = 'Quigley'"),
])  # fmt: skip
TOOLS = rows("tools", [
    ("Which tool answers: weather in Nairobi tomorrow?", "get_forecast"),
    ("Which tool answers: will it rain in Tromso on Friday?", "get_forecast"),
    ("Which tool answers: 17.3 percent of 8,412?", "calculator"),
    ("Which tool answers: the square root of 50,625?", "calculator"),
    ("Which tool answers: who leads the Castellano institute?", "web_search"),
    ("Which tool answers: when was the Brannigan bridge built?", "web_search"),
])  # fmt: skip
DATASETS = (CLASSIFICATION, EXTRACTION, ROUTING, STYLE, FORMATTING, SQL, TOOLS)

RIGHT: tuple[tuple[tuple[Problem, ...], str], ...] = tuple(
    (dataset, text)
    for dataset, texts in (
        (CLASSIFICATION, (
            "Label messages about charges or invoices as Billing.",
            "When a message mentions a parcel or a courier, answer Shipping.",
            "A login problem is Account, even when an error is shown.",
            "Crashes and error codes are Technical unless a payment failed.",
            "If both a charge and a login are mentioned, choose the one that the customer asks to change.",
            "When the message mentions a refund, always answer 'Billing'.",
            "Answer with one of Billing, Account, Shipping, Technical and nothing else.",
            "Changes of a profile belong to Account, not to Technical.",
            "Late deliveries are Shipping, though money may be asked back.",
        )),
        (EXTRACTION, (
            "Copy invoice numbers with their prefix INV and all digits.",
            "When the payer is missing, answer unknown instead of guessing.",
            "Give amounts with a point and without separators or currency.",
            "If a field is unreadable, always answer \"unknown\".",
            "Leave titles such as Dr out of the sender.",
            "Take the due date, not the date of the letter.",
            "Keep the legal form, such as GmbH or Ltd, in the payer.",
            "The amount stands before EUR; do not take the VAT rate.",
        )),
        (ROUTING, (
            "Send cable, DNS and router problems to team-network.",
            "Anything with a battery, screen or printer goes to team-hardware.",
            "When security or payroll is involved, answer escalate.",
            "Prefer escalate over team-network when a mail looks like phishing.",
            "Broken devices are team-hardware even where the network is named.",
            "Answer with the name of the team only.",
            "If two teams fit, choose the one that owns the device.",
            "A file that cannot be opened is escalate, not team-hardware.",
        )),
        (STYLE, (
            "Thanks and greetings make a review polite: answer yes.",
            "Insults and generalisations about the staff mean no.",
            "A request with kindly or please is polite, so answer yes.",
            "Answer yes or no in small letters.",
            "Write out short forms: will not in place of won't.",
            "In formal rewrites keep names and drop slang.",
            "Use full sentences that end with a full stop.",
            "Do not add facts that the informal text does not have.",
        )),
        (FORMATTING, (
            "Dates such as 7/3 have the day first: write year, month, day.",
            "Pad day and month to two digits.",
            "Separate thousands by commas and keep exactly 2 decimals.",
            "Round half up at the third decimal.",
            "Put the last name first, then a comma and the first name.",
            "Give nothing but the date in ISO form.",
            "Reply with {\"label\": ...} in one line of JSON.",
            "Do not drop trailing zeros when 2 decimals are asked for.",
        )),
        (SQL, (
            "Filter active Customers with deleted_at IS NULL.",
            "Use LEFT JOIN and IS NULL to find Customers without Orders.",
            "Aggregate with SUM(total) on Orders, filtered by customer_id.",
            "Join Orders to Customers on customer_id = id.",
            "Compare text with single quotes, numbers without.",
            "Use COUNT(*) for how many, SUM for how much.",
            "Name the table before a column when two tables have it.",
            "For the second largest use a subquery with MAX instead of a constant.",
            "Do not select more columns than were asked for.",
        )),
        (TOOLS, (
            "Use get_forecast for every question about weather.",
            "Percentages and roots go to calculator, however simple.",
            "Questions about people or buildings need web_search.",
            "When no city is named, ask before you call get_forecast.",
            "Prefer calculator to web_search where all figures are given.",
            "Call web_search once, then open the best page.",
            "Answer with the name of the tool alone.",
            "Do not use get_forecast for weather of the past; use web_search.",
            "Pass the city and the day as separate arguments.",
            "If a call fails, repeat it once with fewer words.",
        )),
    )
    for text in texts
)  # fmt: skip

_SECRETS: tuple[tuple[tuple[Problem, ...], int, tuple[str, ...]], ...] = (
    (CLASSIFICATION, 0, ("A message about Order 4411 is Billing.", "Charges for order 4411 belong to Billing.",
                         "When 4411 is named, look at the charge.")),
    (EXTRACTION, 0, ("The number is INV-20931.", "For Meyer give INV-20931.",
                     "Answer INV-20931 when asked for the number.",
                     "When Meyer pays, give the invoice number.", "If 1,890.40 is due, look at the prefix.")),
    (EXTRACTION, 1, ("The payer is Okafor Ltd.", "Okafor is the payer of the second invoice.",
                     "Payers such as Okafor Ltd keep their legal form.", "The invoice of 310 EUR is of Okafor Ltd.")),
    (EXTRACTION, 2, ("The amount is 12445.75.", "The amount is 12,445.75 EUR.",
                     "Lindqvist has to pay the amount shown.",
                     "An amount of 12,445.75 has two decimals.")),
    (EXTRACTION, 5, ("The sender is Amara Vasquez.", "Vasquez signs letters of July.",
                     "Dr Vasquez is a sender without title.")),
    (ROUTING, 0, ("Problems in Kestrel go to team-network.", "When the building is Kestrel, think of packets.")),
    (ROUTING, 2, ("Laptops of Priya go to team-hardware.", "If Priya writes, it is a battery.")),
    (ROUTING, 4, ("Files of Bertrand are escalated.", "When Bertrand is named, answer escalate.")),
    (STYLE, 4, ("I will send it tomorrow, Tunde.", "Rewrite it as: I will send it tomorrow, Tunde.",
                "Notes of Tunde end with tomorrow.")),
    (STYLE, 5, ("I cannot attend; please contact Ingrid.", "Tell people to contact Ingrid politely.")),
    (FORMATTING, 0, ("The answer is 2021-03-07.", "Write 2021-03-07 for the order.",
                     "The Zeppelin order has the day first.")),
    (FORMATTING, 1, ("The race was on 1998-11-23.", "Dates of Monza are written with the year first.",
                     "Write 1998-11-23, since the day comes first.")),
    (FORMATTING, 2, ("Write 1,234,567.89 with two decimals.", "The result is 1,234,567.89.", "It becomes 1234567.89.")),
    (FORMATTING, 4, ("The name is Ndiaye, Fatou.", "Write Ndiaye, Fatou with a comma.", "Fatou is a first name.")),
    (FORMATTING, 5, ("Petrenko, Olga is how the name is written.", "Olga stands behind the comma.")),
    (SQL, 0, ("SELECT name FROM Customers WHERE city = 'Bergen' AND deleted_at IS NULL",
                     "Filter by the city Bergen first.",
              "Customers of Bergen need deleted_at IS NULL.")),
    (SQL, 1, ("SELECT SUM(total) FROM Orders WHERE customer_id = 7741", "Filter with customer_id = 7741.",
              "Customer 7741 has a sum of totals.")),
    (SQL, 3, ("SELECT MAX(total) FROM Orders WHERE total < 98213", "Use WHERE total < 98213 for the second largest.")),
    (SQL, 4, ("Count the orders of Quigley with a join.", "Filter by the name 'Quigley'.")),
    (TOOLS, 0, ("Weather in Nairobi is for get_forecast.", "For Nairobi call the forecast.")),
    (TOOLS, 2, ("Percent of 8,412 is for calculator.", "Compute 17.3 percent with calculator.")),
    (TOOLS, 4, ("The Castellano institute needs web_search.", "Search for Castellano first.")),
    (TOOLS, 5, ("Bridges like Brannigan need web_search.", "Look Brannigan up on the web.")),
)  # fmt: skip
LEAKING = tuple((dataset, dataset[i], text) for dataset, i, texts in _SECRETS for text in texts)
