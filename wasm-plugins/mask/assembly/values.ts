/**
 * Finds e-mail addresses, numbers of payment cards and of telephones in text, and writes stars over
 * them where they stand: no length changes, and no byte that is not ASCII is made or cut in two.
 */

/** What is looked for, as bits. */
export const EMAIL: i32 = 1
export const CARD: i32 = 2
export const PHONE: i32 = 4
/** Nothing of what is found stays readable. */
export const WHOLLY: i32 = 8

const STAR: u8 = 0x2a
const CARD_DIGITS_MIN: i32 = 13
const CARD_DIGITS_MAX: i32 = 19
const CARD_DIGITS_KEPT: i32 = 4
const EMAIL_BYTES_MIN: i32 = 6
/** No address is longer on either side (RFC 5321), in bytes of UTF-8. */
const SIDE_BYTES_MAX: usize = 256
const PHONE_BYTES_MAX: i32 = 32

/** How many of each kind were covered since the last `clearFound`. */
export let emails: i32 = 0
export let cards: i32 = 0
export let phones: i32 = 0

export function clearFound(): void {
  emails = 0
  cards = 0
  phones = 0
}

const ONES: u64 = 0x0101_0101_0101_0101
const HIGHS: u64 = 0x8080_8080_8080_8080

// @ts-ignore: decorator
@inline
function hasByte(word: u64, byte: u8): bool {
  const zeroed = word ^ (ONES * byte)
  return ((zeroed - ONES) & ~zeroed & HIGHS) != 0
}

/** True where one of eight bytes may be a digit; now and then also where none is. */
// @ts-ignore: decorator
@inline
function mayHaveDigit(word: u64): bool {
  // Digits are 0x30 to 0x39: the upper half is 3. Of punctuation : ; < = > ? are taken along.
  const upper = (word & 0xf0f0_f0f0_f0f0_f0f0) ^ 0x3030_3030_3030_3030
  return ((upper - ONES) & ~upper & HIGHS) != 0
}

// @ts-ignore: decorator
@inline
function isDigit(byte: u8): bool {
  return byte >= 0x30 && byte <= 0x39
}

/**
 * Covers what of `wanted` is found in the bytes. `digitStar` takes the place of a digit where a
 * star would not do, as in the numbers of JSON. True where anything was.
 */
export function cover(ptr: usize, length: i32, wanted: i32, digitStar: u8 = STAR): bool {
  let found = false
  if ((wanted & PHONE) != 0 && length <= PHONE_BYTES_MAX && isPhone(ptr, length)) {
    coverDigits(ptr, length, (wanted & WHOLLY) != 0 ? 0 : 2, digitStar)
    phones++
    return true
  }
  if ((wanted & EMAIL) != 0 && length >= EMAIL_BYTES_MIN) found = coverEmails(ptr, length, wanted)
  if ((wanted & CARD) != 0 && length >= CARD_DIGITS_MIN) {
    if (coverCards(ptr, length, wanted, digitStar)) found = true
  }
  return found
}

function coverEmails(ptr: usize, length: i32, wanted: i32): bool {
  const end = ptr + length
  let found = false
  let from = ptr
  let at = ptr
  while (at < end) {
    if (at + 8 <= end && !hasByte(load<u64>(at), 0x40)) {
      at += 8
      continue
    }
    if (load<u8>(at) == 0x40) {
      const behind = coverEmail(from, at, end, wanted)
      if (behind != 0) {
        found = true
        from = behind
        at = behind
        continue
      }
    }
    at++
  }
  return found
}

/** Covers the address around the @ at `at`; the place behind it, or 0 where there is none. */
function coverEmail(from: usize, at: usize, end: usize, wanted: i32): usize {
  let begin = at
  while (begin > from && at - begin < SIDE_BYTES_MAX && isLocal(load<u8>(begin - 1))) begin--
  // A dot does not begin an address.
  while (begin < at && load<u8>(begin) == 0x2e) begin++
  if (begin == at) return 0
  const behind = domainEnd(at + 1, end)
  if (behind == 0) return 0
  emails++
  if ((wanted & WHOLLY) != 0) memory.fill(begin, STAR, behind - begin)
  else {
    const kept = begin + characterBytes(begin, at)
    if (kept < at) memory.fill(kept, STAR, at - kept)
    // One letter says all there is to say.
    else memory.fill(begin, STAR, at - begin)
  }
  return behind
}

function isLocal(byte: u8): bool {
  if ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a) return true
  if (isDigit(byte) || byte >= 0x80) return true
  switch (byte) {
    case 0x2e: // .
    case 0x5f: // _
    case 0x2b: // +
    case 0x2d: // -
    case 0x25: // %
    case 0x21: // !
    case 0x23: // #
    case 0x24: // $
    case 0x26: // &
    case 0x27: // '
    case 0x2a: // *
    case 0x2f: // /
    case 0x3d: // =
    case 0x3f: // ?
    case 0x5e: // ^
    case 0x60: // `
    case 0x7b: // {
    case 0x7c: // |
    case 0x7d: // }
    case 0x7e: // ~
      return true
    default:
      return false
  }
}

/** The end of a domain with a dot in it that begins at `at`; 0 where there is none. */
function domainEnd(at: usize, end: usize): usize {
  let labelFrom = at
  let dots = 0
  const begin = at
  while (at < end && at - begin < SIDE_BYTES_MAX) {
    const byte = load<u8>(at)
    const letter = ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a) || byte >= 0x80
    if (letter || isDigit(byte) || (byte == 0x2d && at > labelFrom)) {
      at++
      continue
    }
    if (byte != 0x2e || at == labelFrom) break
    dots++
    at++
    labelFrom = at
  }
  // What stands behind the last dot is at least two letters; a dot that ends a sentence is none.
  if (at == labelFrom && dots > 0) {
    dots--
    at--
  }
  return dots > 0 && at > begin ? at : 0
}

/** The length of the UTF-8 character at `ptr`, at least 1 and within `end`. */
function characterBytes(ptr: usize, end: usize): i32 {
  let at = ptr + 1
  if (load<u8>(ptr) >= 0xc0) while (at < end && (load<u8>(at) & 0xc0) == 0x80) at++
  return <i32>(at - ptr)
}

function coverCards(ptr: usize, length: i32, wanted: i32, digitStar: u8): bool {
  const end = ptr + length
  let found = false
  let at = ptr
  while (at < end) {
    if (at + 8 <= end && !mayHaveDigit(load<u64>(at))) {
      at += 8
      continue
    }
    if (!isDigit(load<u8>(at))) {
      at++
      continue
    }
    const behind = runEnd(at, end)
    if (coverCard(at, behind, wanted, digitStar)) found = true
    at = behind
  }
  return found
}

/** The end of digits with single blanks or dashes between them. */
function runEnd(at: usize, end: usize): usize {
  while (at < end) {
    const byte = load<u8>(at)
    if (isDigit(byte)) at++
    else if ((byte == 0x20 || byte == 0x2d) && at + 1 < end && isDigit(load<u8>(at, 1))) at += 2
    else break
  }
  return at
}

function digitsIn(at: usize, end: usize): i32 {
  let digits = 0
  for (; at < end; at++) if (isDigit(load<u8>(at))) digits++
  return digits
}

/**
 * Covers the card numbers within a run of digits. Before and behind one other digits may stand,
 * parted by a blank or a dash: `order 17 4111 1111 1111 1111`.
 */
function coverCard(from: usize, end: usize, wanted: i32, digitStar: u8): bool {
  if (digitsIn(from, end) < CARD_DIGITS_MIN) return false
  let found = false
  let at = from
  while (at < end) {
    const behind = cardEnd(at, end)
    if (behind != 0) {
      const kept = (wanted & WHOLLY) != 0 ? 0 : CARD_DIGITS_KEPT
      coverDigits(at, <i32>(behind - at), kept, digitStar)
      cards++
      found = true
      at = behind
    } else while (at < end && isDigit(load<u8>(at))) at++
    while (at < end && !isDigit(load<u8>(at))) at++
  }
  return found
}

/** The end of the longest card number that begins here and ends where digits end, or 0. */
function cardEnd(from: usize, end: usize): usize {
  const first = load<u8>(from)
  // No card begins with 0, 7, 8 or 9 but for fuel and such.
  if (first < 0x31 || first > 0x36) return 0
  let behind: usize = 0
  let digits = 0
  // Luhn's sums if the number of digits is even, and if it is odd.
  let even = 0
  let odd = 0
  for (let at = from; at < end && digits < CARD_DIGITS_MAX; at++) {
    const byte = load<u8>(at)
    if (!isDigit(byte)) continue
    const digit = <i32>(byte - 0x30)
    const doubled = digit > 4 ? digit * 2 - 9 : digit * 2
    even += (digits & 1) == 0 ? doubled : digit
    odd += (digits & 1) == 0 ? digit : doubled
    digits++
    if (digits < CARD_DIGITS_MIN || (at + 1 < end && isDigit(load<u8>(at, 1)))) continue
    if (((digits & 1) == 0 ? even : odd) % 10 == 0) behind = at + 1
  }
  return behind
}

/** Covers all digits but the last `kept`. */
export function coverDigits(ptr: usize, length: i32, kept: i32, digitStar: u8 = STAR): void {
  let left = digitsIn(ptr, ptr + length) - kept
  for (let at = ptr; left > 0; at++) {
    if (!isDigit(load<u8>(at))) continue
    store<u8>(at, digitStar)
    left--
  }
}

/**
 * True for a whole value that is a telephone number: 8 to 15 digits with what people write between
 * them, beginning with + or 0 or a parenthesis, or with something between. Dates and addresses of
 * hosts are none.
 */
function isPhone(ptr: usize, length: i32): bool {
  let digits = 0
  let dots = 0
  let between = 0
  for (let at = 0; at < length; at++) {
    const byte = load<u8>(ptr + at)
    if (isDigit(byte)) digits++
    else if (byte == 0x2e) dots++
    else if (byte == 0x20 || byte == 0x2d || byte == 0x28 || byte == 0x29 || byte == 0x2f) between++
    else if (byte != 0x2b || at > 0) return false
  }
  if (digits < 8 || digits > 15) return false
  const first = load<u8>(ptr)
  if (first == 0x2b || first == 0x28) return true
  if (isDate(ptr, length) || (dots > 0 && between == 0 && (dots == 1 || dots == 3))) return false
  return (first == 0x30 && digits >= 9) || between > 0 || dots > 0
}

/** `2026-11-26`, with or without more digits behind. */
function isDate(ptr: usize, length: i32): bool {
  if (length < 10 || load<u8>(ptr, 4) != load<u8>(ptr, 7)) return false
  for (let at = 0; at < 10; at++) {
    if ((at == 4 || at == 7) == isDigit(load<u8>(ptr + at))) return false
  }
  return true
}

/** Covers a value whatever it is, and leaves a little to recognise it by. */
export function coverPartly(ptr: usize, length: i32): void {
  const before = emails
  const hasEmail = coverEmails(ptr, length, EMAIL)
  // It is the column's name that counts here.
  emails = before
  if (hasEmail && isOneWord(ptr, length)) return
  const digits = digitsIn(ptr, ptr + length)
  if (digits >= 8) {
    // Of what is mostly a number the end is what people know.
    coverAllBut(ptr, length, digits >= 12 ? CARD_DIGITS_KEPT : 2)
    return
  }
  const kept = length >= 4 ? characterBytes(ptr, ptr + length) : 0
  memory.fill(ptr + kept, STAR, length - kept)
}

function isOneWord(ptr: usize, length: i32): bool {
  for (let at = 0; at < length; at++) if (load<u8>(ptr + at) <= 0x20) return false
  return true
}

/** Stars over digits and letters but for the last `kept` digits. */
function coverAllBut(ptr: usize, length: i32, kept: i32): void {
  let left = kept
  for (let at = ptr + length - 1; at >= ptr; at--) {
    const byte = load<u8>(at)
    if (isDigit(byte)) {
      if (left-- > 0) continue
    } else if (byte == 0x20 || byte == 0x2d || byte == 0x2b) continue
    store<u8>(at, STAR)
  }
}
