"""Schedules over epochs."""

from keras_dts.utils import EpochSchedule

__all__ = ["EpochSchedule"]
