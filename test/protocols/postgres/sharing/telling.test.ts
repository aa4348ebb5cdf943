import { expect, test } from 'bun:test'
import { tell } from '../../../../src/protocols/postgres/sharing/telling.ts'
import { concat } from '../../../kit/frontend.ts'
import { server as says } from '../stage.ts'

function told(message: Uint8Array): string[] {
  const heard: string[] = []
  const before = says.ready()
  const bytes = concat(before, message, says.ready())
  tell(
    {
      reported: (name, value) => heard.push(`${name}=${value}`),
      completed: (tag) => heard.push(tag),
      failed: (error) => heard.push(`error of ${error.length} bytes`),
    },
    bytes,
    before.length,
  )
  return heard
}

test('parameters, errors, and the commands that matter are told of', () => {
  expect(told(says.parameter('TimeZone', 'UTC'))).toEqual(['TimeZone=UTC'])
  expect(told(says.complete('DISCARD ALL'))).toEqual(['DISCARD ALL'])
  expect(told(says.complete('LISTEN'))).toEqual(['LISTEN'])
  expect(told(says.complete('SELECT 1'))).toEqual([])
  expect(told(says.complete('DELETE 12345678901234567890'))).toEqual([])
  const error = says.error('0A000', 'no')
  expect(told(error)).toEqual([`error of ${error.length} bytes`])
})
