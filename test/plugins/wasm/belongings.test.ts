/** What a plugin that has not started has. */
import { expect, test } from 'bun:test'
import { DEFAULT_LIMITS } from '../../../src/plugins/limits.ts'
import { makeBelongings } from '../../../src/plugins/wasm/belongings.ts'
import { makeScene } from '../../fixtures/wasm/kit.ts'

test('a plugin begins with nothing used up, and variables within its own budget', () => {
  const { surroundings, lines } = makeScene()
  const limits = { ...DEFAULT_LIMITS, variablesBytesMax: 10, logLinesMax: 1 }
  const belongings = makeBelongings('p', surroundings.log, limits)
  expect(belongings.consumption).toEqual({ fuel: 0, deadlineHits: 0, deadlineExtensions: 0 })
  expect(belongings.store).toBeNull()
  expect(belongings.variables.set('k', new Uint8Array(9), 0)).toBe(false)
  expect(belongings.variables.set('k', new Uint8Array(8), 0)).toBe(true)
  belongings.journal.write('info', new Uint8Array([0x61]))
  belongings.journal.write('info', new Uint8Array([0x62]))
  expect(lines.map((line) => line.msg)).toEqual(['a'])
  expect(belongings.hits.of('logLinesMax')).toBe(1)
})
