/** What operators write about TLS, and hear of it. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { type Logger, pino } from 'pino'
import { globalSchema } from '../../src/config/schema.ts'
import { newAccount } from '../../src/tcp/account.ts'
import { encryptionOf, tlsOptionsOf } from '../../src/tcp/tls-options.ts'
import {
  type Authority,
  makeAuthority,
  makePemFolder,
  type PemFolder,
} from '../kit/certificates.ts'

let folder: PemFolder
let authority: Authority
let lines: { readonly level: string; readonly msg: string }[]
let log: Logger
beforeEach(async () => {
  folder = makePemFolder()
  authority = await makeAuthority()
  lines = []
  const levels = { formatters: { level: (level: string) => ({ level }) } }
  log = pino(levels, { write: (line) => void lines.push(JSON.parse(line)) })
})
afterEach(() => folder[Symbol.dispose]())

function configOf(server: object, client: object = {}) {
  const groups = { default: {} }
  return globalSchema.parse({
    loggers: groups,
    metrics: groups,
    clients: { default: { writes: client } },
    pools: { default: {} },
    proxies: { default: {} },
    servers: { default: server },
  })
}

const optionsOf = (server: object, account = newAccount().tls) =>
  tlsOptionsOf('default', configOf(server).servers.default, account, log)

describe('TLS to clients', () => {
  test('is not offered unless it is asked for', () => {
    expect(optionsOf({ certFile: 'nowhere.crt' })).toBeNull()
  })

  test('is refused at the start where a file of any certificate cannot be used', async () => {
    const good = folder.put('good', await authority.issue({ subject: 'CN=good' }))
    const named = { serverNames: ['a'], certFile: good.certFile, keyFile: `${folder.path}/none` }
    const refused = (more: object): string => {
      try {
        optionsOf({ enableTLS: true, ...good, ...more })
      } catch (thrown) {
        return thrown instanceof Error ? thrown.message : ''
      }
      return 'accepted'
    }
    expect(refused({})).toBe('accepted')
    expect(refused({ keyFile: good.certFile })).toStartWith('servers.default.keyFile: ')
    expect(refused({ certificates: [named] })).toStartWith(
      'servers.default.certificates[0].keyFile: ',
    )
    const asking = { clientCert: 'required', clientCaFile: good.keyFile }
    expect(refused(asking)).toStartWith('servers.default.clientCaFile: ')
  })

  test('with an expired certificate begins with a warning', async () => {
    const late = folder.put('late', await authority.issue({ subject: 'CN=late', days: -3 }))
    expect(optionsOf({ enableTLS: true, ...late })).not.toBeNull()
    expect(lines).toEqual([expect.objectContaining({ level: 'warn' })])
    expect(lines[0]?.msg).toContain('servers.default.certFile: the certificate in')
  })

  test('tells of files that changed: those that are used, and those that are not', async () => {
    const account = newAccount().tls
    const pair = folder.put('pair', await authority.issue({ subject: 'CN=one' }))
    const { certificates } = optionsOf({ enableTLS: true, ...pair }, account)!
    await certificates.look()
    folder.put('pair', await authority.issue({ subject: 'CN=two' }))
    await certificates.look()
    expect(account).toMatchObject({ certificatesReloaded: 1, certificatesRefused: 0 })
    folder.write('pair.key', 'not a key')
    await certificates.look()
    expect(account).toMatchObject({ certificatesReloaded: 1, certificatesRefused: 1 })
    expect(lines.map(({ level }) => level)).toEqual(['info', 'error'])
    expect(lines[1]?.msg).toContain(`servers.default.keyFile: ${pair.keyFile} holds no private key`)
  })
})

describe('TLS to a database', () => {
  const address = { network: 'tcp', host: 'db', port: 1 } as const
  const encryptionFor = (client: object, at: Parameters<typeof encryptionOf>[2] = address) =>
    encryptionOf('clients.a.b', configOf({}, client).clients.default['writes']!, at, log)

  test('is for TCP, and for who wants it', () => {
    expect(encryptionFor({})).toBeNull()
    expect(encryptionFor({ sslMode: 'prefer' })?.optional).toBe(true)
    expect(encryptionFor({ sslMode: 'allow' })?.optional).toBe(true)
    expect(encryptionFor({ sslMode: 'require' })?.optional).toBe(false)
    expect(encryptionFor({ sslMode: 'prefer' }, { network: 'unix', path: '/a' })).toBeNull()
  })

  test('is refused at the start where a file cannot be used', () => {
    const client = { sslMode: 'verify-ca', sslRootCert: `${folder.path}/none` }
    expect(() => encryptionFor(client)).toThrow('clients.a.b.sslRootCert: ')
  })

  test('tells of files that changed', async () => {
    const sslRootCert = folder.write('ca', authority.certificate)
    const encryption = encryptionFor({ sslMode: 'verify-ca', sslRootCert })!
    await encryption.refresh()
    folder.write('ca', 'junk')
    await Bun.sleep(550)
    await encryption.refresh()
    expect(lines.map(({ msg }) => msg)).toEqual([expect.stringContaining('clients.a.b: changed')])
  })
})
