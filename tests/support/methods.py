"""Every policy and every loss, with what sets each of them apart."""

import keras

from keras_dts import losses, temperatures

Dynamic = temperatures.DynamicTemperature


def decay():
    return keras.optimizers.schedules.PolynomialDecay(6.0, 8, 2.0)


POLICIES = {
    "constant": lambda: Dynamic(4.0, 4.0, 4.0),
    "DTS": lambda: Dynamic(8.0, 2.0, 8.0, gap_scale="smooth"),
    "auto": temperatures.AutoTemperature,
    "DTS, auto": lambda: Dynamic("auto"),
    "LSKD, auto": lambda: temperatures.LogitStandardization("auto"),
    "scheduled": lambda: temperatures.ScheduledTemperature(decay()),
    "LSKD": temperatures.LogitStandardization,
    "LSKD driven by DTS": lambda: temperatures.LogitStandardization(
        Dynamic(3.0, 1.0, 3.0)
    ),
    "DTKD": temperatures.SharpnessTemperature,
    "DTKD driven by DTS": lambda: temperatures.SharpnessTemperature(
        Dynamic(5.0, 2.0, 5.0)
    ),
    "CSWT": temperatures.CosineSimilarityTemperature,
    "CTKD": temperatures.CurriculumTemperature,
    # Before its warm-up ends; networks that are traced soon.
    "RLKD": lambda: temperatures.ReinforcedTemperature(
        passes=1, units=8, examples=8
    ),
    "CTKD, per instance": lambda: temperatures.CurriculumTemperature(
        instance=True, epochs=2, units=4
    ),
    "TTM": temperatures.TransformedTeacher,
    "WTTM": lambda: temperatures.TransformedTeacher(0.2, weighted=True),
    "IDTS": temperatures.TokenDifficultyTemperature,
    "AdaKD": lambda: temperatures.TokenDifficultyTemperature(
        decay(), focus=temperatures.TokenFocus(0.01, 0.4, warmup=0.25)
    ),
    "CIST": temperatures.ConsistentTemperature,
    "annealed teacher": lambda: temperatures.AnnealedTeacher(4, 2),
}

LOSSES = {
    "KD": losses.KD,
    "ReverseKL": losses.ReverseKL,
    "GeneralizedJSD": losses.GeneralizedJSD,
    "GeneralizedJSD at 0.01": lambda: losses.GeneralizedJSD(0.01),
    "published JSD": lambda: losses.GeneralizedJSD(0.3, normalized=False),
    "SkewKL": losses.SkewKL,
    "SkewReverseKL": losses.SkewReverseKL,
    "TotalVariation": losses.TotalVariation,
    "DKD": losses.DKD,
    "DKD with DTKD's temperatures": lambda: losses.DKD(
        temperature=temperatures.SharpnessTemperature(4.0, fixed_scale=True)
    ),
    "ClassCorrelation": losses.ClassCorrelation,
    "BatchCorrelation": losses.BatchCorrelation,
    "CosineKD": losses.CosineKD,
    "CosineKD with CSWT": lambda: losses.CosineKD(
        temperature=temperatures.CosineSimilarityTemperature()
    ),
    "MLKD, weak": losses.MLKD,
    "MLKD, strong": lambda: losses.MLKD("strong"),
    "AnnealingKD": lambda: losses.AnnealingKD(epochs=4, levels=2),
    "UniversalLogitDistillation": losses.UniversalLogitDistillation,
    "AdaKD": lambda: losses.ReverseKL(POLICIES["AdaKD"]()),
}

# Each of them as a loss: the policies by what KD computes with them.
ALL = {
    **LOSSES,
    **{
        f"KD, {name}": (lambda make=make: losses.KD(make()))
        for name, make in POLICIES.items()
    },
}

# Divergences: never below 0, and 0 only where the distributions agree.
DIVERGENCES = (
    "KD",
    "ReverseKL",
    "GeneralizedJSD",
    "GeneralizedJSD at 0.01",
    "published JSD",
    "SkewKL",
    "SkewReverseKL",
    "TotalVariation",
    "DKD",
)
