//! Spoils well-formed inputs: bytes, lengths and order; in text lines and words.

/// `SplitMix64`.
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 where `limit` is.
    #[allow(clippy::cast_possible_truncation)] // Below a usize.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.roll() % (limit.max(1) as u64)) as usize
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[0]
    }
}

/// What no input grows beyond.
const LONGEST: usize = 8 * 1024;
/// Numbers at which readers stumble.
const EDGES: [u8; 12] = [0, 1, 2, 3, 4, 0x0f, 0x10, 0x7f, 0x80, 0xbe, 0xfe, 0xff];
const WORDS: [&str; 16] = [
    "0",
    "1",
    "127",
    "128",
    "255",
    "65535",
    "65536",
    "4294967296",
    "-1",
    "",
    ":",
    "=",
    ";;",
    "\u{e9}\u{4e2d}",
    "audio",
    "a=mid:0",
];

pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    is_text: bool,
}

impl Mutator {
    pub fn new(seeds: Vec<Vec<u8>>, is_text: bool) -> Self {
        Self { seeds, is_text }
    }

    /// A seed, spoilt once to eight times; now and then as it is, or nothing but noise.
    pub fn input(&self, dice: &mut Dice) -> Vec<u8> {
        let mut input = self.seed(dice).to_vec();
        match dice.below(64) {
            0 => return input,
            1 => return (0..dice.below(200)).map(|_| dice.byte()).collect(),
            _ => {}
        }
        for _ in 0..=dice.below(8) {
            if self.is_text && dice.below(4) > 0 {
                self.spoil_text(&mut input, dice);
            } else {
                self.spoil_bytes(&mut input, dice);
            }
            // Each time: a line that is repeated again and again would fill the machine's memory.
            input.truncate(LONGEST);
        }
        input
    }

    fn seed(&self, dice: &mut Dice) -> &[u8] {
        &self.seeds[dice.below(self.seeds.len())]
    }

    fn spoil_bytes(&self, input: &mut Vec<u8>, dice: &mut Dice) {
        let at = dice.below(input.len());
        let most = if dice.below(4) == 0 { 300 } else { 9 };
        let some = dice.below(most) + 1;
        let (end, rest) = ((at + some).min(input.len()), input.len() - at);
        match dice.below(9) {
            0 => flip(input, at, 1 << dice.below(8)),
            1 => set(input, at, &[EDGES[dice.below(EDGES.len())]]),
            2 => set(input, at, &[dice.byte()]),
            3 => set(input, at, &length(dice, rest)),
            4 => drop(input.drain(at.min(end)..end)),
            5 => drop(input.splice(at..at, (0..some).map(|_| dice.byte()).collect::<Vec<_>>())),
            6 => drop(input.splice(at..at, input[at..end].to_vec())),
            7 => input.truncate(at),
            _ => self.splice(input, at, some, dice),
        }
    }

    /// A piece of another seed, over or between what is there.
    fn splice(&self, input: &mut Vec<u8>, at: usize, some: usize, dice: &mut Dice) {
        let other = self.seed(dice);
        let from = dice.below(other.len());
        let piece = other[from..(from + some * 4).min(other.len())].to_vec();
        let end = if dice.below(2) == 0 { at } else { (at + piece.len()).min(input.len()) };
        input.splice(at..end, piece);
    }

    fn spoil_text(&self, input: &mut Vec<u8>, dice: &mut Dice) {
        let text = String::from_utf8_lossy(input).into_owned();
        let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
        let (at, other) = (dice.below(lines.len()), dice.below(lines.len()));
        match dice.below(7) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(other, lines[at].clone()),
            2 => lines.swap(at, other),
            3 => lines[at] = change_word(&lines[at], dice),
            4 => lines[at].push_str(WORDS[dice.below(WORDS.len())]),
            5 => lines[at] = lines[at].repeat(dice.below(20)),
            _ => {
                let foreign = String::from_utf8_lossy(self.seed(dice)).into_owned();
                let foreign: Vec<&str> = foreign.split("\r\n").collect();
                lines.insert(at, foreign[dice.below(foreign.len())].to_owned());
            }
        }
        *input = lines.join("\r\n").into_bytes();
    }
}

fn flip(input: &mut [u8], at: usize, mask: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= mask;
    }
}

fn set(input: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(room) = input.get_mut(at..at + bytes.len()) {
        room.copy_from_slice(bytes);
    }
}

/// A length of 16 bits as it would be right there, or nearly.
fn length(dice: &mut Dice, rest: usize) -> [u8; 2] {
    let near = [0, 1, 2, 4, rest, rest.saturating_sub(2), rest / 4, rest + 1, 0xffff];
    u16::try_from(near[dice.below(near.len())]).unwrap_or(u16::MAX).to_be_bytes()
}

/// One of the words between blanks, colons, slashes, semicolons and equals signs becomes another.
fn change_word(line: &str, dice: &mut Dice) -> String {
    let ends: Vec<usize> = line.match_indices([' ', ':', '/', ';', '=']).map(|(at, _)| at).collect();
    let Some(&start) = ends.get(dice.below(ends.len())) else { return WORDS[dice.below(WORDS.len())].to_owned() };
    let end = ends.iter().copied().find(|at| *at > start).unwrap_or(line.len());
    format!("{}{}{}", &line[..=start], WORDS[dice.below(WORDS.len())], &line[end..])
}
