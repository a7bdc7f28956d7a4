"""An example of a transport of your own: length-prefixed frames over plain TCP."""

from fourways_frames.transport import FramesTransport

__all__ = ["FramesTransport"]
