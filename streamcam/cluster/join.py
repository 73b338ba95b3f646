"""Join encoded segments, with audio and subtitles from the source."""

from __future__ import annotations

from ..compose import drawn_info
from ..errors import StreamcamError
from ..job import Job
from ..sinks import open_sink
from ..sinks.video import VideoSink
from ..sources import open_source
from ..sources.files.file import FileSource
from ..stored_video import CopiedPackets
from .results import Results


def join_chunks(job: Job, results: Results) -> tuple[str, int, list[str]]:
    """Write the output; nothing is decoded.

    Args:
        job: with local files.
        results: complete.

    Returns:
        Name of the encoder, number of frames, and messages for the user.

    Raises:
        StreamcamError: the source cannot be read, or the output cannot be written.
    """
    with open_source(job.source) as source:
        assert isinstance(source, FileSource)
        sink = open_sink(job.sink, drawn_info(job.draw, source.info, len(job.explain.target)))
        assert isinstance(sink, VideoSink)
        sink.store_chunks(lambda segment: None)  # encode in segments, as the workers did
        copied = CopiedPackets(source.copied_packets(), source.info.time_base)
        with sink:
            for chunk in results.plan:
                found = results.storage.read_segment(chunk.number)
                if found is None:
                    raise StreamcamError(f"the segment of chunk {chunk.number} is damaged", hint="run it with --resume")
                pts = results.frame_pts(chunk.number)
                sink.write_chunk(found[0], pts, [copied.until(one) for one in pts])
            sink.write_packets(copied.rest())
    return sink.encoder, sink.num_frames, [*sink.notes]
