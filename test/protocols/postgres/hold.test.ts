import { expect, test } from 'bun:test'
import { Hold } from '../../../src/protocols/postgres/hold.ts'

const bytesOf = (...values: readonly number[]): Uint8Array => new Uint8Array(values)

test('what is appended is kept in order, and may be reused by its owner', () => {
  const hold = new Hold({ held: 0, heldMax: 100, spent: 0 })
  const borrowed = bytesOf(1, 2)
  hold.append(borrowed)
  borrowed.fill(9)
  hold.append(bytesOf(3, 4, 5))
  expect([...hold.view()]).toEqual([1, 2, 3, 4, 5])
  expect([...hold.view(2)]).toEqual([1, 2])
})

test('it grows beyond its first room without losing anything', () => {
  const hold = new Hold({ held: 0, heldMax: 1_000_000, spent: 0 })
  const parts = Array.from({ length: 500 }, (_, index) => new Uint8Array(97).fill(index % 251))
  for (const part of parts) hold.append(part)
  expect(Buffer.compare(hold.view(), Buffer.concat(parts))).toBe(0)
})

test('the budget of all holds together bounds them, and is counted when it does', () => {
  const budget = { held: 0, heldMax: 10, spent: 0 }
  const first = new Hold(budget)
  const second = new Hold(budget)
  expect(first.append(new Uint8Array(6))).toBe(true)
  expect(second.append(new Uint8Array(5))).toBe(false)
  expect(second.length).toBe(0)
  expect(budget).toEqual({ held: 6, heldMax: 10, spent: 1 })
  expect(second.append(new Uint8Array(4))).toBe(true)
})

test('what is dropped or cleared is given back to the budget, once', () => {
  const budget = { held: 0, heldMax: 100, spent: 0 }
  const hold = new Hold(budget)
  hold.append(bytesOf(1, 2, 3, 4))
  hold.drop(3)
  expect([...hold.view()]).toEqual([4])
  expect(budget.held).toBe(1)
  hold.clear()
  hold.clear()
  expect(budget.held).toBe(0)
  hold.append(bytesOf(7))
  expect([...hold.view()]).toEqual([7])
})
