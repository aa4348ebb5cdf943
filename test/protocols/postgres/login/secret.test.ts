import { expect, test } from 'bun:test'
import { inspect } from 'node:util'
import { Secret } from '../../../../src/protocols/postgres/login/secret.ts'

test('a secret is seen only where it is asked for', () => {
  const secret = new Secret('hunter2')
  expect(secret.reveal()).toBe('hunter2')
  const shown = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }),
    Bun.inspect({ secret }),
    JSON.stringify(Object.entries(secret)),
  ].join('\n')
  expect(shown).not.toContain('hunter2')
  expect(shown).toContain('[secret]')
})

test('a secret knows whether it is empty', () => {
  expect(new Secret('').isEmpty).toBeTrue()
  expect(new Secret(' ').isEmpty).toBeFalse()
})
