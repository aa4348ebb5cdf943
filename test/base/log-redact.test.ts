import { expect, test } from 'bun:test'
import { GatewayError } from '../../src/base/errors.ts'
import { REDACTED, redact } from '../../src/base/log-redact.ts'

test('a secret is not printed, however deep it lies and however its name is written', () => {
  const redacted = redact({
    password: 'p1',
    dbPassword: 'p2',
    headers: { Authorization: 'Bearer p3', 'x-api-token': 'p4' },
    list: [{ clientSecret: 'p5' }],
    user: 'alice',
  })
  expect(JSON.stringify(redacted)).not.toMatch(/p[1-5]/)
  expect(redacted['password']).toBe(REDACTED)
  expect(redacted['user']).toBe('alice')
})

test('a field whose name only begins like a secret is printed', () => {
  expect(redact({ passwordFile: '/etc/pw', tokens: 3 })).toEqual({
    passwordFile: '/etc/pw',
    tokens: 3,
  })
})

test('properties hung on an error are not printed, its causes are', () => {
  const error = new Error('refused', { cause: new Error('no route') })
  Object.assign(error, { password: 'hidden', request: { token: 'hidden' } })
  const text = JSON.stringify(redact({ err: error }))
  expect(text).not.toContain('hidden')
  expect(text).toContain('refused: no route')
  expect(text).toContain('"stack"')
})

test('an error of our own shows its code and no stack', () => {
  const err = new GatewayError('LISTEN_FAILED', 'port 1 is in use')
  expect(redact({ err })['err']).toEqual({
    type: 'GatewayError',
    code: 'LISTEN_FAILED',
    message: 'port 1 is in use',
  })
})

test('bytes, circles and long lists stay short', () => {
  const circle: Record<string, unknown> = { bytes: new Uint8Array(5000) }
  circle['self'] = circle
  circle['list'] = Array.from({ length: 100_000 }, (_, index) => index)
  const text = JSON.stringify(redact(circle))
  expect(text).toContain('[5000 bytes]')
  expect(text).toContain('[too deep]')
  expect(text.length).toBeLessThan(5000)
})

test('dates are left to write themselves', () => {
  expect(JSON.stringify(redact({ at: new Date(0) }))).toBe('{"at":"1970-01-01T00:00:00.000Z"}')
})
