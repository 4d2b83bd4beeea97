"""Vectors from a folder and from an endpoint, kept so that no text is embedded twice, and what they rank."""

import http.server
import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.threaded_server import ThreadedServer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from experience_db import Edit, Lesson, Library, Op, Store
from tfgrpo.config import LessonsConfig
from tfgrpo.errors import EndpointError, UsageError
from tfgrpo.retrieval import retrieval_for
from tfgrpo.retrieval.embedders import Endpoint, StaticModel
from tfgrpo.retrieval.vector_ranker import VectorRanker

WORDS = {"car": (1, 0, 0), "auto": (1, 0.1, 0), "boat": (0, 1, 0), "ship": (0.1, 1, 0), "[UNK]": (0, 0, 0)}
LIBRARY = Library("x", 1, (Lesson(1, "car car", 1, 1), Lesson(2, "boat", 1, 1), Lesson(5, "auto", 1, 1)))


@pytest.fixture
def folder(tmp_path):
    """A static model of five words."""
    save_file({"embeddings": np.array(list(WORDS.values()), np.float32)}, tmp_path / "model.safetensors")
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@pytest.fixture
def endpoint():
    """A loopback server of embeddings: `asked` holds the texts of each request, `answer` may replace the reply."""

    class Handler(http.server.BaseHTTPRequestHandler):
        asked, answer, keys = [], None, []

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            Handler.asked.append(body["input"])
            Handler.keys.append(self.headers.get("Authorization"))
            rows = [{"index": i, "embedding": [float(len(t)), 1.0]} for i, t in enumerate(body["input"])][::-1]
            status, reply = Handler.answer or (200, {"data": rows})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def log_message(self, *_):
            pass

    with ThreadedServer(Handler) as server:
        yield Handler, f"{server.url}/v1"


def test_a_static_model_ranks_by_meaning(folder):
    """A question without a word in common finds the lesson that means the same; what is far is not near."""
    ranker = VectorRanker(StaticModel(folder))
    assert ranker(LIBRARY, "auto", 5) == [5, 1]
    assert ranker(LIBRARY, "ship", 1) == [2]
    assert ranker(LIBRARY, "nothing known", 5) == []
    assert ranker(Library("x"), "auto", 5) == []


def test_a_folder_without_a_model_is_told(tmp_path, folder):
    """What is missing is named."""
    with pytest.raises(UsageError, match=r"needs model\.safetensors and tokenizer\.json"):
        StaticModel(tmp_path / "none")
    save_file({"other": np.zeros((2, 2), np.float32)}, folder / "model.safetensors")
    with pytest.raises(UsageError, match="no table of two dimensions named 'embeddings'"):
        StaticModel(folder)


def test_no_text_is_embedded_twice(endpoint, tmp_path):
    """Vectors of lessons and questions are kept in the database, over processes and versions."""
    server, url = endpoint
    with Store.open(tmp_path / "e.db") as store:
        store.create_library("x")
        library = store.commit("x", [Edit(Op.ADD, "one"), Edit(Op.ADD, "three")], parent=0)
        assert VectorRanker(Endpoint(url, "m", "secret"), store)(library, "three", 1) == [2]
        library = store.commit("x", [Edit(Op.ADD, "eleven")], parent=1)
        assert VectorRanker(Endpoint(url, "m"), store)(library, "three", 1) == [2]
    assert server.asked == [["one", "three"], ["eleven"]]
    assert server.keys[0] == "Bearer secret"


def test_vectors_of_a_static_model_are_not_kept(folder, tmp_path):
    """They are made sooner than they are read: no question writes to the database."""
    with Store.open(tmp_path / "e.db") as store:
        store.create_library("x")
        library = store.commit("x", [Edit(Op.ADD, "car"), Edit(Op.ADD, "boat")], parent=0)
        assert VectorRanker(StaticModel(folder), store)(library, "ship", 1) == [2]
        assert store._rows("SELECT * FROM vectors") == []


def test_a_new_version_ranks_as_if_it_were_the_first(endpoint):
    """What the version before it had is copied; changed, new and deleted texts are where they belong."""
    server, url = endpoint
    versions = ("aa", "bbbb", "c"), ("aa", "c", "dddddd"), ("dddddd", "aa"), (), ("eee",)
    ranker = VectorRanker(Endpoint(url, "m"))
    for version in versions:
        library = Library("x", 1, tuple(Lesson(i, text, 1, 1) for i, text in enumerate(version, 1)))
        assert ranker(library, "bbbb", 3) == VectorRanker(Endpoint(url, "m"))(library, "bbbb", 3)
    assert [texts for texts in server.asked if "bbbb" not in texts and "aa" in texts] == [
        ["aa", "c", "dddddd"],
        ["dddddd", "aa"],
    ]


def test_many_texts_are_means_of_their_tokens(folder):
    """Over more texts than are summed together, those without a known word among them."""
    words = list(WORDS)
    texts = [" ".join(words[(i * j) % 4] for j in range(i % 5)) for i in range(2500)]
    found = StaticModel(folder)(texts)
    wanted = [np.mean([WORDS[w] for w in text.split()] or [(0, 0, 0)], axis=0) for text in texts]
    assert np.allclose(found, wanted)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((401, {"error": "no"}), "status 401"),
        ((200, {"data": []}), "shape"),
        ((200, {"rows": []}), "without vectors"),
        ((200, {"data": [{"index": 0, "embedding": ["x"]}]}), "without vectors"),
    ],
)
def test_answers_without_vectors_are_told(endpoint, answer, told):
    """A refusal and an answer of another shape end with one sentence, and with no vector."""
    server, url = endpoint
    server.answer = answer
    with pytest.raises(EndpointError, match=told):
        Endpoint(url, "m")(["text"])


def test_nothing_listening_is_told():
    """A place where nobody answers is named."""
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9/v1 gave no answer"):
        Endpoint("http://127.0.0.1:9/v1", "m")(["text"])


def test_names_become_retrievals(folder):
    """`hybrid` joins words and vectors; a model that is not named is asked for."""
    config = LessonsConfig(embedding=f"static:{folder}", retrieval_tokens=30)
    assert retrieval_for("all", config) is None
    hybrid = retrieval_for("hybrid", config)
    assert [lesson.id for lesson in hybrid.chosen(LIBRARY, "auto")] == [1, 5]
    with pytest.raises(UsageError, match="name a model"):
        retrieval_for("embedding", LessonsConfig())
    with pytest.raises(UsageError, match="there are: all, fts, embedding, hybrid"):
        retrieval_for("near", config)
