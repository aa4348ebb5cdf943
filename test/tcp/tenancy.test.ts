import { expect, test } from 'bun:test'
import { Tenancy } from '../../src/tcp/tenancy.ts'

test('is empty when the last session has left, and at once where none ever came', async () => {
  await new Tenancy().empty()
  const tenancy = new Tenancy()
  tenancy.enter()
  tenancy.enter()
  let isEmpty = false
  const empty = tenancy.empty().then(() => {
    isEmpty = true
  })
  tenancy.leave()
  await Promise.resolve()
  expect([isEmpty, tenancy.sessions]).toEqual([false, 1])
  tenancy.leave()
  await empty
  expect([isEmpty, tenancy.sessions]).toEqual([true, 0])
})
