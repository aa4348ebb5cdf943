import { expect, test } from 'bun:test'
import { issueKey } from '../../src/tcp/cancel-keys.ts'

test('keys are as long as a client takes them, and no two are the same', () => {
  expect(issueKey({ long: false })).toHaveLength(8)
  expect(issueKey({ long: true })).toHaveLength(36)
  expect(issueKey({ long: true })).not.toEqual(issueKey({ long: true }))
})
