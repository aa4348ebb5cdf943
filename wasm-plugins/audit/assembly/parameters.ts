/** The values of a Bind as a JSON list, where the configuration asks for them. */
import { Bind, Bytes, Json, lengthOf, NONE, ptrOf } from '../../sdk/assembly/sdk'
import { characters } from './summary'

/** More parameters, and more bytes of each, are not told. */
const PARAMETERS_MAX: i32 = 64
const VALUE_BYTES_MAX: i32 = 256

const json = new Json()
const hex = new Bytes()

/** Texts as they are, what is binary as `\x…`, both cut where they are long. */
export function writeParameters(bind: Bind): Bytes {
  json.clear().array()
  bind.rewind()
  for (let at = 0; at < PARAMETERS_MAX && bind.next(); at++) {
    const value = characters(bind.value, VALUE_BYTES_MAX)
    if (bind.value == NONE || !bind.isBinary) json.string(value)
    else {
      hex.clear().byte(0x5c).byte(0x78)
      for (let byte = 0; byte < lengthOf(value); byte++) {
        const shown = load<u8>(ptrOf(value) + byte)
        hex.byte(digit(shown >> 4)).byte(digit(shown & 15))
      }
      json.string(hex.slice)
    }
  }
  return json.endArray().bytes
}

function digit(value: u8): u8 {
  return value < 10 ? 0x30 + value : 0x57 + value
}
