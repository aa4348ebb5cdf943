import { expect, test } from 'bun:test'
import { Runs } from '../../src/tcp/runs.ts'

test('runs beside each other are gathered, and nothing else is', () => {
  const chunk = new Uint8Array([0, 1, 2, 3, 4, 5])
  const runs = Runs.of(chunk)
  expect(runs.gather(chunk)).toBeFalse()
  expect(runs.gather(new Uint8Array(2))).toBeFalse()
  expect(runs.gather(chunk.subarray(0, 2))).toBeTrue()
  expect(runs.gather(chunk.subarray(2, 3))).toBeTrue()
  expect(runs.gather(chunk.subarray(4))).toBeFalse()
  expect(runs.take()).toEqual(chunk.subarray(0, 3))
  expect(runs.take()).toBeNull()
  expect(runs.gather(chunk.subarray(4))).toBeTrue()
  expect(runs.take()).not.toBeNull()
  Runs.end(runs)
  expect(runs.gather(chunk.subarray(4))).toBeFalse()
  expect(Runs.of(chunk)).toBe(runs)
})
