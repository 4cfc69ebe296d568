"""Encoder and decoder, recurrent or transformer, behind one interface."""

from .model import Decoded, Seq2Seq, Seq2SeqConfig
from .recurrent import RecurrentConfig
from .state import DecodingState, Encoded
from .transformer import TransformerConfig

__all__ = ["Decoded", "DecodingState", "Encoded", "RecurrentConfig", "Seq2Seq", "Seq2SeqConfig", "TransformerConfig"]
