/** A run without files: everything from flags. */
import { describe, expect, test } from 'bun:test'
import { GatewayError } from '../../src/base/errors.ts'
import { configFromFlags, parsePluginFlag } from '../../src/config/flags.ts'
import { ConfigError } from '../../src/config/problem.ts'

const DIGEST = 'ab'.repeat(32)

/** The code of the GatewayError that a call throws. */
function codeOf(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (error instanceof GatewayError) return error.code
  }
  return 'none'
}

describe('--plugin', () => {
  test('is a path, or a path with its SHA-256', () => {
    expect(parsePluginFlag('./a.wasm')).toEqual({ localPath: './a.wasm', checksum: null })
    expect(parsePluginFlag(`./a@sha256:${DIGEST.toUpperCase()}`)).toEqual({
      localPath: './a',
      checksum: DIGEST,
    })
  })

  test('is split at the last mark, so a path may hold one', () => {
    expect(parsePluginFlag(`./a@sha256:b@sha256:${DIGEST}`)).toEqual({
      localPath: './a@sha256:b',
      checksum: DIGEST,
    })
    expect(parsePluginFlag('./a@v1')).toEqual({ localPath: './a@v1', checksum: null })
  })

  test('with anything but 64 digits behind the mark is refused, never taken as a path', () => {
    const wrong = ['', 'abc', DIGEST.slice(1), `${DIGEST}0`, `${DIGEST.slice(1)}g`, ` ${DIGEST}`]
    for (const digest of wrong) {
      expect(codeOf(() => parsePluginFlag(`./a@sha256:${digest}`))).toBe('USAGE')
    }
    expect(codeOf(() => parsePluginFlag(''))).toBe('USAGE')
    expect(codeOf(() => parsePluginFlag(`@sha256:${DIGEST}`))).toBe('USAGE')
  })
})

describe('configFromFlags', () => {
  test('says where the database is and where clients connect; the rest are defaults', () => {
    const loaded = configFromFlags({ upstream: 'db:5432', listen: ':6000', plugins: [] })
    expect(loaded.config.clients.default['writes']?.address).toBe('db:5432')
    expect(loaded.config.servers.default.address).toBe(':6000')
    expect(loaded.config.servers.default.protocol).toBe('postgres')
    expect(loaded.config.metrics.default.enabled).toBe(false)
    expect(loaded.plugins.plugins).toEqual([])
    expect(loaded.sources).toEqual([])
    expect(loaded.notices).toEqual([])
  })

  test('takes the path of a Unix socket for either end', () => {
    const { config } = configFromFlags({ upstream: '/run/pg', listen: '/run/own', plugins: [] })
    expect(config.clients.default['writes']).toMatchObject({ network: 'unix', address: '/run/pg' })
    expect(config.servers.default).toMatchObject({ network: 'unix', address: '/run/own' })
  })

  test('serves metrics where it is told to', () => {
    const flags = { upstream: 'db:1', listen: ':1', plugins: [], metrics: ':9091' }
    expect(configFromFlags(flags).config.metrics.default).toMatchObject({
      enabled: true,
      address: ':9091',
    })
  })

  test('leaves the names of plugins to their manifests, and keeps their order', () => {
    const plugins = [
      { localPath: './a.wasm', checksum: DIGEST },
      { localPath: './b', checksum: null },
    ]
    const loaded = configFromFlags({ upstream: 'db:1', listen: ':1', plugins })
    expect(loaded.plugins.plugins).toMatchObject([
      { name: null, priority: 1000, localPath: './a.wasm', checksum: DIGEST, enabled: true },
      { name: null, priority: 1001, localPath: './b', checksum: null, onFailure: 'open' },
    ])
  })

  test('lets variables set what no flag sets', () => {
    const env = { POSTERN_DRAINTIMEOUT: '5s', POSTERN_SERVERS_DEFAULT_ADDRESS: ':7' }
    const loaded = configFromFlags({ upstream: 'db:1', listen: ':1', plugins: [], env })
    expect(loaded.config.drainTimeout).toBe(5000)
    expect(loaded.config.servers.default.address).toBe(':1')
    expect(loaded.variables).toEqual(['POSTERN_DRAINTIMEOUT', 'POSTERN_SERVERS_DEFAULT_ADDRESS'])
  })

  test('takes further settings by dotted key', () => {
    const overrides = { 'servers.default.protocol': 'raw' }
    const loaded = configFromFlags({ upstream: 'db:1', listen: ':1', plugins: [], overrides })
    expect(loaded.config.servers.default.protocol).toBe('raw')
  })

  test('refuses addresses that are none by the name of their flag', () => {
    const base = { upstream: 'db:1', listen: ':1', plugins: [] }
    expect(codeOf(() => configFromFlags({ ...base, upstream: 'db' }))).toBe('USAGE')
    expect(() => configFromFlags({ ...base, upstream: 'db' })).toThrow(/^--upstream db: must be/)
    expect(() => configFromFlags({ ...base, listen: '5432' })).toThrow(/^--listen 5432: must be/)
    expect(() => configFromFlags({ ...base, metrics: 'x' })).toThrow(/^--metrics x: must be/)
    const env = { POSTERN_DRAINTIMEOUT: 'soon' }
    expect(() => configFromFlags({ ...base, env })).toThrow(ConfigError)
  })
})
