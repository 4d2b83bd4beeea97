"""Writes weights in GGUF as a folder that vLLM serves: `python unpack.py FILE.gguf FOLDER`.

The numbers are those of the file, dequantised; tokenizer and chat template are the file's own.
"""

import sys
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main(file: Path, folder: Path) -> None:
    """Read the file and write config, weights, tokenizer and template."""
    how = {"gguf_file": file.name, "dtype": "float32", "quantization_config": GgufConfig(dequantize=True)}
    model = AutoModelForCausalLM.from_pretrained(file.parent, **how)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
