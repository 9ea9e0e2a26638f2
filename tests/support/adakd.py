"""AdaKD's rules, in plain Python."""


def focus_by_hand(losses, warmup_steps, tolerance=0.05, change=0.1):
    """AdaKD's focusing, as METHODS describe it, in plain Python."""
    ratio, average, reference, ratios = 1.0, None, None, []
    for step, loss in enumerate(losses, 1):
        average = loss if average is None else 0.99 * average + 0.01 * loss
        if step <= warmup_steps + 1:
            reference = average
        fall = reference - average
        if fall < -tolerance * reference:
            ratio, reference = min(ratio * (1 + change), 1.0), average
        elif fall > tolerance * reference:
            ratio, reference = max(ratio * (1 - change), 0.1), average
        ratios.append(ratio)
    return ratios
