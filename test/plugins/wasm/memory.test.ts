/** That the host touches the guest's memory only where there is any. */
import { describe, expect, test } from 'bun:test'
import { CALL_BYTES_MAX } from '../../../src/plugins/wasm/limits.ts'
import { GuestMemory } from '../../../src/plugins/wasm/memory.ts'

const PAGE = 65536

function make(pages = 1) {
  const memory = new WebAssembly.Memory({ initial: pages })
  return { memory, guest: new GuestMemory(memory) }
}

describe('guest memory', () => {
  test('is read at unsigned pointers up to its last byte', () => {
    const { guest } = make()
    guest.view[PAGE - 1] = 7
    expect([...guest.at(PAGE - 1, 1, 'f')]).toEqual([7])
    expect(guest.at(PAGE, 0, 'f')).toHaveLength(0)
  })

  test('is not read outside', () => {
    const { guest } = make()
    const refused: readonly (readonly [number, number])[] = [
      [PAGE, 1],
      [PAGE + 1, 0],
      [-1, 0],
      [-1, 1],
      [0, -1],
      [PAGE - 1, 2],
      [-2147483648, -2147483648],
    ]
    for (const [pointer, length] of refused) {
      expect(() => guest.at(pointer, length, 'f')).toThrow('f was given')
      expect(() => guest.answer(pointer, length, new Uint8Array(0), 'f')).toThrow('outside')
      expect(() => guest.answerNone(pointer, length, 'f')).toThrow('outside')
    }
  })

  test('gives short texts as they stand there now, whatever stood there before', () => {
    const { guest } = make()
    const texts = ['at', 'SELECT', 'ta', '', 'é', 'x'.repeat(48), 'x'.repeat(49), '\u0000']
    for (let round = 0; round < 3; round++) {
      for (let at = 0; at < 300; at++) {
        const text = texts[at] ?? `name ${at}`
        const bytes = new TextEncoder().encode(text)
        guest.view.set(bytes, at)
        expect(guest.text(at, bytes.length, 'f')).toBe(text)
      }
    }
    guest.view.set([0x61, 0xff], 0)
    expect(guest.text(0, 2, 'f')).toBe('a\ufffd')
    expect(guest.text(0, 1, 'f')).toBe('a')
  })

  test('is read up to the limit of a call', () => {
    const { guest } = make(2)
    expect(guest.at(0, CALL_BYTES_MAX, 'f')).toHaveLength(CALL_BYTES_MAX)
    expect(() => guest.at(0, CALL_BYTES_MAX + 1, 'f')).toThrow(`at most ${CALL_BYTES_MAX} a call`)
  })

  test('is written only where the whole value fits', () => {
    const { guest } = make()
    const value = new Uint8Array([1, 2, 3])
    expect(guest.answer(8, 2, value, 'f')).toBe(3)
    expect([...guest.at(8, 3, 'f')]).toEqual([0, 0, 0])
    expect(guest.answer(8, 3, value, 'f')).toBe(3)
    expect([...guest.at(8, 3, 'f')]).toEqual([1, 2, 3])
    expect(guest.answerNone(8, 3, 'f')).toBe(-1)
  })

  test('is found again after it has grown', () => {
    const { memory, guest } = make()
    expect(guest.view).toHaveLength(PAGE)
    memory.grow(1)
    expect(guest.view).toHaveLength(2 * PAGE)
    guest.view[PAGE] = 9
    expect(new Uint8Array(memory.buffer)[PAGE]).toBe(9)
  })
})
