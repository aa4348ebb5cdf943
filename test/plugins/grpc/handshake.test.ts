/** The handshake line, and every line that is none. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { makeIdentity } from '../../../src/plugins/grpc/cert.ts'
import { parseHandshake, shown } from '../../../src/plugins/grpc/handshake.ts'

let certificate = ''
let field = ''

beforeAll(async () => {
  certificate = (await makeIdentity()).certificate
  field = certificate.replace(/-----[^-]+-----|\s|=/g, '')
})

describe('a handshake line', () => {
  test('gives socket and certificate, padded or not', () => {
    for (const padding of ['', '=']) {
      const handshake = parseHandshake(` 1|1|unix|/tmp/plugin1|grpc|${field}${padding}\r`)
      expect(handshake.address).toEqual({ network: 'unix', path: '/tmp/plugin1' })
      expect(handshake.certificate.replace(/\s/g, '')).toBe(certificate.replace(/\s/g, ''))
    }
  })

  test('may have the field for multiplexing behind it', () => {
    const handshake = parseHandshake(`1|1|unix|/tmp/plugin1|grpc|${field}|false`)
    expect(handshake.address.network).toBe('unix')
  })

  test('may name a TCP address of this machine', () => {
    const at = (address: string) => parseHandshake(`1|1|tcp|${address}|grpc|${field}`).address
    expect(at('127.0.0.1:50000')).toEqual({ network: 'tcp', host: '127.0.0.1', port: 50000 })
    expect(at('[::1]:1')).toEqual({ network: 'tcp', host: '::1', port: 1 })
    expect(at('localhost:65535')).toEqual({ network: 'tcp', host: 'localhost', port: 65535 })
  })
})

describe('refused is', () => {
  const rows: readonly (readonly [what: string, line: string, problem: string])[] = [
    ['an empty line', '', 'printed "" instead of a handshake line'],
    ['other text', 'Listening on 8080', '"Listening on 8080" instead of a handshake line'],
    ['a line cut short', '1|1|unix', 'instead of a handshake line'],
    ['another core protocol', '2|1|unix|/s|grpc|', 'speaks core protocol "2"'],
    ['another plugin protocol', '1|6|unix|/s|grpc|', 'speaks plugin protocol "6"'],
    ['net/rpc, unsaid', '1|1|unix|/s', 'speaks net/rpc'],
    ['net/rpc, said', '1|1|unix|/s|netrpc|', 'speaks "netrpc"'],
    ['another network', '1|1|udp|/s|grpc|', 'the network "udp"'],
    ['a relative socket path', '1|1|unix|s|grpc|', 'not absolute'],
    [
      'a socket path too long',
      `1|1|unix|/${'s'.repeat(107)}|grpc|`,
      '108 bytes, more than the 107',
    ],
    ['a TCP address without a port', '1|1|tcp|127.0.0.1|grpc|', 'not HOST:PORT'],
    ['a port that is none', '1|1|tcp|127.0.0.1:99999|grpc|', 'not HOST:PORT'],
    ['a TCP address of another machine', '1|1|tcp|10.0.0.1:5000|grpc|', 'must use 127.0.0.1'],
    ['a name that only looks local', '1|1|tcp|127.example.com:5|grpc|', 'must use 127.0.0.1'],
    ['no certificate', '1|1|unix|/s|grpc|', 'sent no certificate'],
    ['a certificate that is none', `1|1|unix|/s|grpc|${'QUJD'.repeat(30)}`, 'no X.509 certificate'],
  ]
  for (const [what, line, problem] of rows) {
    test(what, () => expect(() => parseHandshake(line)).toThrow(problem))
  }
})

test('a line is shown short and without control characters', () => {
  const text = shown(`\u001b[31m\u009b31m${'x'.repeat(500)}`)
  expect(text.length).toBeLessThan(150)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is what is promised.
  expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/)
})
