import { describe, expect, test } from 'bun:test'
import {
  CANCEL_REQUEST,
  GSSENC_REQUEST,
  numberAt,
  parseStartup,
  SSL_REQUEST,
  STARTUP_BYTES_MAX,
  startupFlaw,
} from '../../../src/protocols/postgres/startup.ts'
import {
  concat,
  cstring,
  PROTOCOL_3_0,
  PROTOCOL_3_2,
  startup,
  untyped,
} from '../../kit/frontend.ts'

describe('the first packet', () => {
  test('may be a startup of protocol 3, a request for encryption or a cancel request', () => {
    const codes = [PROTOCOL_3_0, PROTOCOL_3_2, SSL_REQUEST, GSSENC_REQUEST, CANCEL_REQUEST]
    for (const code of codes) expect(startupFlaw(8, code)).toBeNull()
    expect(startupFlaw(STARTUP_BYTES_MAX, null)).toBeNull()
  })

  test('has at most 10,000 bytes and at least 8, known before the rest has come', () => {
    for (const length of [0, 4, 7, STARTUP_BYTES_MAX + 1, 0xffff_ffff]) {
      expect(startupFlaw(length, null)).toContain(`declares ${length} bytes`)
    }
  })

  test('of another protocol is refused by its version', () => {
    expect(startupFlaw(100, 2 << 16)).toBe('protocol version 2.0 is not supported; 3.0 or newer is')
    expect(startupFlaw(100, 0xffff_ffff)).toContain('protocol version 65535.65535')
  })
})

describe('a StartupMessage', () => {
  test('tells user, database and application', () => {
    const params = { application_name: 'shop', options: '-c x=1' }
    expect(parseStartup(startup({ user: 'ann', database: 'orders', params }))).toEqual({
      user: 'ann',
      database: 'orders',
      applicationName: 'shop',
    })
  })

  test('without a database means that of the name of the user', () => {
    expect(parseStartup(startup({ user: 'ann' }))).toMatchObject({ database: 'ann' })
  })

  test('without parameters tells nothing', () => {
    expect(parseStartup(untyped(PROTOCOL_3_0, new Uint8Array(1)))).toEqual({
      user: '',
      database: '',
      applicationName: '',
    })
  })

  test('that is not ended, or ends within a parameter, is malformed', () => {
    expect(parseStartup(untyped(PROTOCOL_3_0))).toBeNull()
    expect(parseStartup(untyped(PROTOCOL_3_0, cstring('user'), cstring('ann')))).toBeNull()
    expect(parseStartup(untyped(PROTOCOL_3_0, cstring('user')))).toBeNull()
    const cut = concat(cstring('user'), new TextEncoder().encode('ann'))
    expect(parseStartup(untyped(PROTOCOL_3_0, cut))).toBeNull()
  })
})

test('a number is read where it stands, unsigned, also in a view of something larger', () => {
  const bytes = new Uint8Array([9, 0xff, 0xff, 0xff, 0xfe, 9]).subarray(1)
  expect(numberAt(bytes, 0)).toBe(4294967294)
})
