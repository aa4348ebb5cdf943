import { describe, expect, test } from 'bun:test'
import { dottedKeys, withChanges } from '../../src/config/dotted.ts'
import { configFromFlags } from '../../src/config/flags.ts'
import type { Config } from '../../src/config/schema.ts'

function config(overrides: Readonly<Record<string, unknown>> = {}): Config {
  const flags = { upstream: '127.0.0.1:5432', listen: '127.0.0.1:15432', plugins: [] }
  return configFromFlags({ ...flags, overrides }).config
}

function takesDuration(key: string): boolean {
  try {
    config({ [key]: '2s' })
    return true
  } catch {
    return false
  }
}

describe('what a plugin sees at onConfigLoaded', () => {
  test('flat dotted keys, durations in nanoseconds', () => {
    const keys = dottedKeys(config())
    expect(keys['clients.default.writes.dialTimeout']).toBe(60_000_000_000)
    expect(keys['servers.default.address']).toBe('127.0.0.1:15432')
    expect(keys['servers.default.loadBalancer.strategy']).toBe('ROUND_ROBIN')
    expect(keys['loggers.default.output']).toEqual(['console'])
  })

  test('every key that takes a duration, and no other, as nanoseconds', () => {
    for (const [key, value] of Object.entries(dottedKeys(config()))) {
      if (typeof value !== 'number') continue
      const changed = takesDuration(key) ? dottedKeys(config({ [key]: '2s' }))[key] : value
      expect({ key, changed }).toEqual({ key, changed: takesDuration(key) ? 2e9 : value })
    }
  })

  test('no secret', () => {
    const password = 'do-not-show'
    const startupParams = { user: 'u', database: 'd', password }
    const flat = { 'clients.default.writes.startupParams.password': password }
    const secretive = config({ ...flat, 'clients.default.writes.startupParams.user': 'u' })
    expect(secretive.clients.default['writes']?.startupParams).toMatchObject({ password })
    expect(JSON.stringify(dottedKeys(secretive))).not.toContain(startupParams.password)
  })
})

describe('what a plugin changes at onConfigLoaded', () => {
  test('is taken over, and nothing else changes', () => {
    const before = config()
    const changes = { 'loggers.default.level': 'debug', 'servers.default.idleTimeout': 5e9 }
    const { config: after } = withChanges(before, changes)
    expect(after.loggers.default.level).toBe('debug')
    expect(after.servers.default.idleTimeout).toBe(5000)
    expect({ ...after, loggers: null, servers: null }).toEqual({
      ...before,
      loggers: null,
      servers: null,
    })
  })

  test('keeps the secrets that it was not shown', () => {
    const before = config({
      'clients.default.writes.startupParams.user': 'ann',
      'clients.default.writes.startupParams.password': 'kept',
    })
    const { config: after } = withChanges(before, { 'loggers.default.level': 'warn' })
    expect(after.clients.default['writes']?.startupParams?.password).toBe('kept')
  })

  test('fits a gateway that logs in by itself, and asks databases for their role', () => {
    const before = config({
      'clients.default.writes.startupParams.user': 'ann',
      'clients.default.writes.role': 'primary',
      'clients.default.writes.probeParams.user': 'watcher',
      'clients.default.writes.probeParams.password': 'kept',
      'servers.default.auth': 'trust',
      'servers.default.address': '127.0.0.1:15432',
    })
    const { config: after } = withChanges(before, { 'loggers.default.level': 'warn' })
    expect(after.clients).toEqual(before.clients)
    expect(JSON.stringify(dottedKeys(before))).not.toMatch(/kept|watcher|ann/)
  })

  test('is refused where the schema or a rule refuses it', () => {
    expect(() => withChanges(config(), { 'servers.default.sessionsMax': -1 })).toThrow(
      'sessionsMax',
    )
    expect(() => withChanges(config(), { 'servers.default.requireTLS': true })).toThrow(
      'requireTLS',
    )
  })

  test('is told about where it matches no key', () => {
    const { notices } = withChanges(config(), { 'servers.default.sesionsMax': 5 })
    expect(notices.join()).toContain('sesionsMax')
  })
})
