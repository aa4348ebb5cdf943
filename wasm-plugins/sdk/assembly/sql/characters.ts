/**
 * Which bytes mean what to PostgreSQL's scanner (src/backend/parser/scan.l). All above ASCII are
 * letters.
 */

// @ts-ignore: decorator
@inline
export function isSpace(byte: u8): bool {
  return byte == 0x20 || (byte >= 9 && byte <= 13)
}

// @ts-ignore: decorator
@inline
export function isNewline(byte: u8): bool {
  return byte == 10 || byte == 13
}

// @ts-ignore: decorator
@inline
export function isDigit(byte: u8): bool {
  return byte >= 0x30 && byte <= 0x39
}

// @ts-ignore: decorator
@inline
export function beginsName(byte: u8): bool {
  const letter = byte | 0x20
  return (letter >= 0x61 && letter <= 0x7a) || byte == 0x5f || byte >= 0x80
}

// @ts-ignore: decorator
@inline
export function continuesName(byte: u8): bool {
  return beginsName(byte) || isDigit(byte) || byte == 0x24
}

/** 1 for each byte that `continuesName`: names are most of what is read. */
export const CONTINUING = memory.data(256)
for (let byte = 0; byte < 256; byte++) {
  store<u8>(CONTINUING + byte, continuesName(<u8>byte) ? 1 : 0)
}

/** The hash of words begins so, and goes on with each byte of them, in any case. */
export const WORD_SEED: u32 = 0x811c_9dc5

// @ts-ignore: decorator
@inline
export function hashedWith(hash: u32, byte: u8): u32 {
  return (hash ^ (byte | 0x20)) * 0x0100_0193
}

/** Bytes that operators are made of: ~ ! @ # ^ & | ` ? + - * / % < > = */
export function isOperator(byte: u8): bool {
  switch (byte) {
    case 0x21:
    case 0x23:
    case 0x25:
    case 0x26:
    case 0x2a:
    case 0x2b:
    case 0x2d:
    case 0x2f:
    case 0x3c:
    case 0x3d:
    case 0x3e:
    case 0x3f:
    case 0x40:
    case 0x5e:
    case 0x60:
    case 0x7c:
    case 0x7e:
      return true
    default:
      return false
  }
}

/** Bytes that let an operator end in + or -: ~ ! @ # ^ & | ` ? % */
export function isUncommon(byte: u8): bool {
  switch (byte) {
    case 0x2a:
    case 0x2b:
    case 0x2d:
    case 0x2f:
    case 0x3c:
    case 0x3d:
    case 0x3e:
      return false
    default:
      return isOperator(byte)
  }
}

// @ts-ignore: decorator
@inline
export function isHex(byte: u8): bool {
  const letter = byte | 0x20
  return isDigit(byte) || (letter >= 0x61 && letter <= 0x66)
}
