"""Prints how much memory a distillation takes on each device, by arithmetic.

    python memory.py

Nothing is measured. Activations and the batch come on top. GB are 10^9 bytes.
"""

TEACHERS = 7e9, 70e9, 400e9  # parameters
DEVICES = 1, 8, 64  # among which a teacher is divided
WIDTHS = {"bfloat16": 2, "int8": 1}  # bytes of a parameter
# A student in mixed_bfloat16 by Adam: the weight, its gradient and two moments.
STUDENT, STUDENT_WIDTH = 1e9, 4 * 4
# Llama's layout map leaves the projection onto the vocabulary whole.
VOCABULARY, HIDDEN = 128_256, {"70": 8_192, "405": 16_384}
# A cache of the most probable classes: their values and that of the rest, and
# indices of 2 bytes up to 65,536 classes, else of 4.
TOKENS, TOP_K = 1e12, 50
READ = 2e9  # bytes a second, an assumption


def teacher_bytes(parameters, width, devices):
    """Returns the bytes of a teacher on each device."""
    return parameters * width / devices


def projection_bytes(hidden):
    """Returns the bytes of a projection onto the vocabulary in bfloat16."""
    return VOCABULARY * hidden * 2


def cached_bytes(dtype, index):
    """Returns the bytes of one token in a cache."""
    values = TOP_K + 1  # and the lowest and the highest, if they are rounded
    values = 2 * values if dtype == "float16" else values + 2 * 2
    return values + TOP_K * index


def main():
    """Prints the table."""
    print(f"{'teacher':<24}" + "".join(f"{n:>8} dev" for n in DEVICES))
    for parameters in TEACHERS:
        for dtype, width in WIDTHS.items():
            sizes = [teacher_bytes(parameters, width, n) for n in DEVICES]
            row = "".join(f"{size / 1e9:>9.1f} GB" for size in sizes)
            print(f"{f'{parameters / 1e9:.0f} B {dtype}':<24}{row}")
    print(f"student of 1 B, whole    {STUDENT * STUDENT_WIDTH / 1e9:.1f} GB")
    for name, hidden in HIDDEN.items():
        size = projection_bytes(hidden) / 1e9
        print(f"whole projection of {name} B {size:.1f} GB on each device")
    for dtype in ("float16", "uint8"):
        sizes = [TOKENS * cached_bytes(dtype, i) / 1e12 for i in (2, 4)]
        print(f"cache in {dtype}: {sizes[0]:.0f} or {sizes[1]:.0f} TB")
    seconds = ", ".join(f"{2 * n / READ:.0f}" for n in TEACHERS)
    print(f"fingerprints of bfloat16: {seconds} s")


if __name__ == "__main__":
    main()
