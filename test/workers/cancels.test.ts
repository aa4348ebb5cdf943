/** CancelRequests that are carried: each ends once, and there is an end to their number. */
import { expect, test } from 'bun:test'
import { CarriedCancels } from '../../src/workers/cancels.ts'
import type { FromWorker } from '../../src/workers/messages.ts'

const REQUEST = new Uint8Array(16)

function scene() {
  const sent: FromWorker[] = []
  const done: number[] = []
  const cancels = new CarriedCancels((message) => sent.push(message))
  let number = 0
  const carry = (): number => {
    number += 1
    const own = number
    cancels.carry('shop', REQUEST, () => done.push(own))
    return own
  }
  return { cancels, sent, done, carry }
}

test('one that is carried ends when it is told so, and once', () => {
  const { cancels, sent, done, carry } = scene()
  carry()
  carry()
  expect(sent).toEqual([
    { kind: 'cancel', id: 1, group: 'shop', request: REQUEST },
    { kind: 'cancel', id: 2, group: 'shop', request: REQUEST },
  ])
  cancels.ended(2)
  cancels.ended(2)
  cancels.ended(77)
  expect(done).toEqual([2])
  cancels.ended(1)
})

test('more than a hundred at once are not carried', () => {
  const { cancels, sent, done, carry } = scene()
  for (let count = 0; count < 101; count++) carry()
  expect(sent).toHaveLength(100)
  expect(done).toEqual([101])
  for (let id = 1; id <= 100; id++) cancels.ended(id)
  expect(done).toHaveLength(101)
})
