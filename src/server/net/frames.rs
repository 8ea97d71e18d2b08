//! The heads of HTTP/2 frames, extracted from bytes that pass (RFC 9113, section 4.1).

/// The content of a request or answer.
pub(crate) const DATA: u8 = 0;
/// The headers or trailers of a request or answer.
pub(crate) const HEADERS: u8 = 1;
/// The end of a stream that is no longer wanted.
pub(crate) const RST_STREAM: u8 = 3;
/// The end of a connection.
pub(crate) const GOAWAY: u8 = 7;
/// Nothing follows on this stream.
pub(crate) const END_STREAM: u8 = 1;

/// The length of what a client sends before its first frame, in bytes.
const PREFACE: usize = 24;
const HEAD: usize = 9;

/// The position in one direction of a connection: in a frame's head, or in its payload.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// The bytes of the head that have passed.
    read: usize,
    /// The bytes of the payload that have yet to pass.
    left: usize,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FrameHead {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Frames {
    /// For what a client sends.
    pub(crate) fn of_client() -> Self {
        Self { left: PREFACE, ..Self::default() }
    }

    /// Processes bytes that pass, and shows the head of each frame that begins in them.
    pub(crate) fn pass(&mut self, mut bytes: &[u8], mut show: impl FnMut(FrameHead)) {
        loop {
            let passed = self.left.min(bytes.len());
            self.left -= passed;
            bytes = &bytes[passed..];
            if bytes.is_empty() {
                return;
            }
            // Nearly all heads arrive in one piece.
            if self.read == 0
                && let Some((head, rest)) = bytes.split_first_chunk()
            {
                bytes = rest;
                show(self.begin(*head));
                continue;
            }
            let more = (HEAD - self.read).min(bytes.len());
            self.head[self.read..self.read + more].copy_from_slice(&bytes[..more]);
            self.read += more;
            bytes = &bytes[more..];
            if self.read == HEAD {
                self.read = 0;
                show(self.begin(self.head));
            }
        }
    }

    fn begin(&mut self, head: [u8; HEAD]) -> FrameHead {
        let [high, middle, low, kind, flags, a, b, c, d] = head;
        self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
        // The highest bit is reserved.
        FrameHead { kind, flags, stream: u32::from_be_bytes([a & 0x7f, b, c, d]) }
    }

    /// Has every frame that began passed completely?
    pub(crate) fn is_between_two(&self) -> bool {
        self.read == 0 && self.left == 0
    }
}

/// The frame that ends a connection whose peer asks for too much (ENHANCE_YOUR_CALM), with the last
/// stream that was processed.
pub(crate) fn calm_down(last_stream: u32) -> [u8; 17] {
    let [a, b, c, d] = last_stream.to_be_bytes();
    [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0xb]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Vec<u8> {
        let frame = |length: u8, kind, flags, stream| {
            let head = [0, 0, length, kind, flags, 0x80, 0, 1, stream];
            [&head[..], &vec![0xff; usize::from(length)]].concat()
        };
        let frames = [
            frame(0, 4, 0, 0),
            frame(20, HEADERS, 4, 7),
            frame(5, DATA, END_STREAM, 7),
            frame(4, RST_STREAM, 0, 7),
        ];
        [&[b'P'; PREFACE][..], &frames.concat()].concat()
    }

    #[test]
    fn each_head_is_seen_once_however_the_bytes_are_cut() {
        let bytes = sent();
        for size in 1..=bytes.len() {
            let (mut frames, mut seen) = (Frames::of_client(), Vec::new());
            bytes.chunks(size).for_each(|bytes| {
                frames.pass(bytes, |head| seen.push((head.kind, head.flags, head.stream)));
            });
            assert_eq!(seen, [(4, 0, 256), (1, 4, 263), (0, 1, 263), (3, 0, 263)], "{size}");
            assert!(frames.is_between_two());
        }
    }

    #[test]
    fn it_is_between_two_frames_only_where_one_has_ended() {
        let bytes = sent();
        let mut frames = Frames::of_client();
        let between: Vec<_> = (1..=bytes.len())
            .filter(|count| {
                frames.pass(&bytes[count - 1..*count], |_| ());
                frames.is_between_two()
            })
            .collect();
        assert_eq!(between, [24, 33, 62, 76, 89]);
    }
}
