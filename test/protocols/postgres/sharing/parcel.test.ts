import { expect, test } from 'bun:test'
import { parcel } from '../../../../src/protocols/postgres/sharing/parcel.ts'

test('parts of any length are put behind each other', () => {
  for (const length of [0, 1, 63, 64, 100_000, 2_000_000, 5]) {
    const part = new Uint8Array(length).map((_, at) => at)
    parcel.begin()
    parcel.addHeader(0x51, 0x01020304)
    parcel.add(part)
    parcel.add(part, Math.min(2, length), length)
    parcel.addByte(9)
    const expected = Buffer.concat([
      Uint8Array.of(0x51, 1, 2, 3, 4),
      part,
      part.subarray(2),
      Uint8Array.of(9),
    ])
    expect(Buffer.compare(parcel.bytes, expected)).toBe(0)
  }
})
