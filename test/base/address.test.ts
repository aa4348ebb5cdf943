import { describe, expect, test } from 'bun:test'
import { addressFlaw, addressText, hostPort, parseAddress } from '../../src/base/address.ts'

describe('an address', () => {
  const sound = {
    '127.0.0.1:5432': { network: 'tcp', host: '127.0.0.1', port: 5432 },
    'db.example.com:1': { network: 'tcp', host: 'db.example.com', port: 1 },
    ':15432': { network: 'tcp', host: '', port: 15_432 },
    'localhost:0': { network: 'tcp', host: 'localhost', port: 0 },
    '[::1]:5432': { network: 'tcp', host: '::1', port: 5432 },
    '[fe80::1%eth0]:65535': { network: 'tcp', host: 'fe80::1%eth0', port: 65_535 },
  } as const
  for (const [text, address] of Object.entries(sound)) {
    test(`is ${text}`, () => {
      expect(parseAddress(text, 'tcp')).toEqual(address)
    })
  }

  const unsound = ['', '5432', 'host', 'host:', ':65536', 'host:-1', 'host:5432x', 'host:0x10']
  unsound.push(
    '::1:5432',
    '[::1]',
    '[::1:5432',
    'http://host:1',
    'a b:1',
    'user@host:1',
    'host:1:2',
  )
  unsound.push(`${'x'.repeat(320)}:1`, ' host:1', 'host:1\n', '[not v6]:1')
  for (const text of unsound) {
    test(`is not ${JSON.stringify(text.slice(0, 20))}`, () => {
      expect(parseAddress(text, 'tcp')).toBeNull()
    })
  }

  test('of the network unix is a path, and there must be one', () => {
    expect(parseAddress('/run/db.sock', 'unix')).toEqual({ network: 'unix', path: '/run/db.sock' })
    expect(parseAddress('', 'unix')).toBeNull()
    expect(addressFlaw('', 'unix')).toBe('must be the path of a Unix socket')
  })
})

test('a path is one that a socket can have: short enough in bytes, and a file', () => {
  const longest = `/${'ä'.repeat(53)}`
  expect(addressFlaw(longest, 'unix')).toBeNull()
  expect(addressFlaw(`${longest}x`, 'unix')).toContain('at most 107 bytes, and this one has 108')
  expect(addressFlaw('@front', 'unix')).toContain('abstract sockets')
  expect(addressFlaw('./@front', 'unix')).toBeNull()
  expect(addressFlaw('/run/a\0b', 'unix')).toContain('zero byte')
  for (const path of ['@front', `${longest}x`, '\0front']) {
    expect(parseAddress(path, 'unix')).toBeNull()
  }
  expect(addressFlaw('/run/db.sock', 'tcp')).toContain('must be an address such as')
  expect(addressFlaw('[::1]:5432', 'tcp')).toBeNull()
})

test('an address is written as people write it, and is read again', () => {
  for (const text of ['127.0.0.1:5432', '[::1]:5432', 'localhost:1']) {
    expect(addressText(parseAddress(text, 'tcp')!)).toBe(text)
  }
  expect(addressText({ network: 'tcp', host: '', port: 1 })).toBe('*:1')
  expect(addressText({ network: 'unix', path: '/run/db.sock' })).toBe('/run/db.sock')
})

test('a host and its port are one text, or none where there is no host', () => {
  expect(hostPort('10.0.0.1', 5)).toBe('10.0.0.1:5')
  expect(hostPort('::1', 5)).toBe('[::1]:5')
  expect([hostPort(undefined, undefined), hostPort('', 5)]).toEqual(['', ''])
})
