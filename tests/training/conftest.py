import pytest
from transformers import BertConfig, BertModel

from stages.common.quiet import quiet
from tests.training.tiny import SIZES, make_tokenizer

quiet()


@pytest.fixture
def encoder():
    """A bare BERT encoder with a pooler, as sentence models carry it."""
    return BertModel(BertConfig(vocab_size=len(make_tokenizer()), initializer_range=0.3, **SIZES))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes an installed package that must not be imported, with a model folder in it; returns the folder."""
    def make(model):
        root = tmp_path / "site" / "carried_model"
        root.mkdir(parents=True)
        (root / "__init__.py").write_text("raise RuntimeError('imported')\n")
        model.save_pretrained(root / "model")
        make_tokenizer().save_pretrained(root / "model")
        monkeypatch.syspath_prepend(root.parent)
        return root / "model"

    return make
