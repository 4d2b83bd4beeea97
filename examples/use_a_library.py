"""Use learned lessons in your app: read a library, put it into your messages. No model client is imported for this.

Run: python examples/use_a_library.py   (writes and reads a small database of its own)
"""

from experience_db import Edit, Op, Store, open_library

if __name__ == "__main__":
    with Store.open("app.db") as store:
        head = store.create_library("web")
        if not head.lessons:
            lesson = "When a page lists dates, take the one beside the name you were asked for."
            store.commit("web", [Edit(Op.ADD, lesson, reason="by hand")], parent=head.version)

    library = open_library("web", db="app.db")
    for message in library.inject([{"role": "user", "content": "When was the museum opened?"}]):
        print(f"{message['role']}: {message['content']}\n")
