"""Display of running sweeps: a live board on a terminal, plain lines elsewhere.

    opening      choose the display: `open_display`
    lines        a line for each trial that has ended, and progress every half minute
    board        the state of all sweeps, drawn a few times a second
    table        the rows of trials, cut to the size of the terminal
    state        the records of all trials, and the forecast that both displays show
    time_left    estimate when the sweeps are over
    remaining    count what has not begun, and learn how long trials take

`run` opens it, and tells it of preparation and trials through the protocols in `callbacks`.
"""

from sweep.display.opening import open_display

__all__ = ["open_display"]
