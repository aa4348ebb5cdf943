/** What a reader holds, and what it does with messages and replies too large to be held. */
import { describe, expect, test } from 'bun:test'
import { MessageReader } from '../../../src/protocols/postgres/reader.ts'
import type { Wanted } from '../../../src/protocols/protocol.ts'
import { concat, message } from '../../kit/frontend.ts'
import {
  bench,
  ENDS,
  feed,
  hex,
  LETTERS,
  messagesOf,
  Script,
  tableOf,
  take,
  written,
} from './reader-bench.ts'

describe('limits', () => {
  const all = tableOf(LETTERS)

  test('a declared length of 2 GB holds no memory, in however many sessions', () => {
    const budget = { held: 0, heldMax: 2 ** 28, spent: 0 }
    const wanted: Wanted = { cut: 'message', tags: all }
    const header = new Uint8Array([0x61, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3])
    const before = process.memoryUsage().arrayBuffers
    const readers = Array.from({ length: 1000 }, () => {
      const reader = new MessageReader(new Script(wanted), wanted, {
        messageBytesMax: 2 ** 24,
        budget,
      })
      reader.push(header)
      expect(reader.next()).toBe('oversize')
      return reader
    })
    expect(budget.held).toBe(0)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20)
    expect(readers).toHaveLength(1000)
  })

  test('a length just under the limit grows the buffer only with the bytes that came', () => {
    const { reader, budget } = bench({ cut: 'message', tags: all }, 2 ** 24)
    reader.push(new Uint8Array([0x61, 0x00, 0xff, 0xff, 0xff, 1, 2, 3]))
    expect(reader.next()).toBe('none')
    expect(budget.held).toBe(8)
    reader.release()
    expect(budget.held).toBe(0)
  })

  test('an oversize message is told by its header, with a length that makes it whole', () => {
    const { reader, judge } = bench({ cut: 'message', tags: all }, 100)
    const giant = message('d', new Uint8Array(200))
    reader.push(giant)
    expect(reader.next()).toBe('oversize')
    expect(messagesOf(reader.bytes)).toEqual(['d\0\0\0\x04'])
    reader.streamOversize()
    expect(judge.streamedTags).toEqual(['d'])
    expect(hex(written(take(reader)))).toBe(hex(giant))
  })

  test('a reply larger than messageBytesMax comes in parts that say so, up to its end', () => {
    const { reader } = bench({ cut: 'reply', tags: all }, 100)
    const big = [
      ...Array.from({ length: 9 }, () => message('d', new Uint8Array(30))),
      message(ENDS),
    ]
    const small = [message('e'), message(ENDS)]
    const pieces = feed(reader, [concat(...big), concat(...small)])
    expect(hex(written(pieces))).toBe(hex(concat(...big, ...small)))
    const last = pieces.at(-1)!
    expect(last).toEqual({ kind: 'unit', bytes: concat(...small), over: false })
    expect(pieces.slice(0, -1).every(({ over, kind }) => kind === 'unit' && over)).toBe(true)
    expect(pieces.length).toBeGreaterThan(2)
  })

  test('what is left of a reply behind an oversize message is still only a part of it', () => {
    const { reader } = bench({ cut: 'reply', tags: all }, 100)
    const giant = message('d', new Uint8Array(200))
    const rest = concat(message('e'), message(ENDS))
    const pieces = feed(reader, [concat(giant, rest), message(ENDS)])
    expect(pieces.map(({ kind, over }) => `${kind} ${over}`)).toEqual([
      'oversize false',
      'pass false',
      'unit true',
      'unit false',
    ])
  })

  test('when the budget is spent a reply comes in parts, and the next one whole again', () => {
    const { reader, budget } = bench({ cut: 'reply', tags: all }, 2 ** 20, 20)
    const first = feed(reader, [message('d', new Uint8Array(10)), message('e', new Uint8Array(9))])
    expect(first.map(({ kind, over }) => `${kind} ${over}`)).toEqual(['unit true'])
    const rest = feed(reader, [message(ENDS)])
    expect(rest.map(({ kind, over }) => `${kind} ${over}`)).toEqual(['unit true'])
    const next = feed(reader, [concat(message('d'), message(ENDS))])
    expect(next.map(({ kind, over }) => `${kind} ${over}`)).toEqual(['unit false'])
    expect(budget.held).toBe(0)
    expect(budget.spent).toBeGreaterThan(0)
  })

  test('when the budget is spent a message of which a part has come is too large', () => {
    const { reader, budget } = bench({ cut: 'message', tags: all }, 2 ** 20, 20)
    const cut = message('d', new Uint8Array(100))
    const pieces = feed(reader, [cut.slice(0, 15), cut.slice(15, 30), cut.slice(30)])
    expect(pieces.map(({ kind }) => kind)).toEqual(['oversize', 'pass', 'pass'])
    expect(hex(written(pieces))).toBe(hex(cut))
    expect(budget).toMatchObject({ held: 0, spent: 1 })
  })

  test('a batch that the budget cut is no part of a reply, nor is the one behind it', () => {
    const { reader } = bench({ cut: 'batch', tags: all }, 2 ** 20, 10)
    const cut = message('d', new Uint8Array(50))
    const pieces = feed(reader, [
      concat(message('a'), cut.slice(0, 40)),
      concat(cut.slice(40), message('e')),
      message('e'),
    ])
    expect(pieces.some(({ over }) => over)).toBe(false)
    expect(hex(written(pieces))).toBe(hex(concat(message('a'), cut, message('e'), message('e'))))
  })
})
