/** The configuration as a whole: golden cases, the search for files, and what beats what. */
import { describe, expect, test } from 'bun:test'
import { GatewayError } from '../../src/base/errors.ts'
import { type LoadedConfig, type LoadOptions, loadConfig } from '../../src/config/load.ts'
import { ConfigError, problemLine } from '../../src/config/problem.ts'
import { filesOf, type GoldenCase, goldenCases } from './golden.ts'

function refusal(options: LoadOptions): GatewayError {
  try {
    loadConfig(options)
  } catch (error) {
    if (error instanceof GatewayError) return error
    throw error
  }
  throw new Error('it was accepted')
}

/** Loads a case beside an empty other file. */
function optionsOf(golden: GoldenCase): LoadOptions {
  const files = { 'postern.yaml': '{}', [golden.file]: golden.text }
  return { env: golden.env, readFile: filesOf(files) }
}

function valueAt(loaded: LoadedConfig, golden: GoldenCase, key: string): unknown {
  const root: unknown = golden.file === 'postern.yaml' ? loaded.config : loaded.plugins
  return key.split('.').reduce((value: unknown, part) => {
    if (typeof value !== 'object' || value === null) return undefined
    return Object.entries(value).find(([name]) => name === part)?.[1]
  }, root)
}

describe('golden cases', () => {
  for (const golden of goldenCases()) {
    if (golden.problems.length > 0) {
      test(`${golden.name} is refused, with every problem at its place`, () => {
        const error = refusal(optionsOf(golden))
        expect(error).toBeInstanceOf(ConfigError)
        const prefix = `${golden.file}:`
        const lines = error.message.split('\n')
        expect(lines.map((line) => line.replace(prefix, ''))).toEqual([...golden.problems])
        expect(error.message).not.toContain('hunter2')
      })
      continue
    }
    test(`${golden.name} loads as written`, () => {
      const loaded = loadConfig(optionsOf(golden))
      const notices = loaded.notices.filter((notice) => !notice.startsWith('no plugins file'))
      expect(notices).toEqual([...golden.notices])
      for (const [key, json] of golden.values) {
        const expected: unknown = json === 'undefined' ? undefined : JSON.parse(json)
        expect({ [key]: valueAt(loaded, golden, key) }).toEqual({ [key]: expected })
      }
    })
  }
})

describe('the search for files', () => {
  const found = (files: Readonly<Record<string, string>>) =>
    loadConfig({ env: {}, readFile: filesOf(files) })

  test('our own name comes before the former one, and this folder before /etc', () => {
    const all = {
      'postern.yaml': 'drainTimeout: 1s',
      '/etc/postern.yaml': 'drainTimeout: 2s',
      'gatewayd.yaml': 'drainTimeout: 3s',
      '/etc/gatewayd.yaml': 'drainTimeout: 4s',
    }
    const order = Object.keys(all)
    for (const [at, path] of order.entries()) {
      const rest = Object.fromEntries(Object.entries(all).slice(at))
      const loaded = found(rest)
      expect(loaded.sources).toEqual([path])
      expect(loaded.config.drainTimeout).toBe((at + 1) * 1000)
    }
  })

  test('a file with the former name is read with a notice', () => {
    const loaded = found({ 'gatewayd.yaml': '{}', '/etc/gatewayd_plugins.yaml': 'plugins: []' })
    expect(loaded.sources).toEqual(['gatewayd.yaml', '/etc/gatewayd_plugins.yaml'])
    expect(loaded.notices).toEqual([
      'gatewayd.yaml is read because there is no postern.yaml',
      '/etc/gatewayd_plugins.yaml is read because there is no postern_plugins.yaml',
    ])
  })

  test('no plugins file means no plugins, and a notice', () => {
    const loaded = found({ 'postern.yaml': '{}' })
    expect(loaded.plugins.plugins).toEqual([])
    expect(loaded.notices.join()).toContain('no plugins file')
  })

  test('no global file is refused with both cures', () => {
    const error = refusal({ env: {}, readFile: filesOf({}) })
    expect(error.code).toBe('CONFIG_MISSING')
    expect(error.message).toContain('create one')
    expect(error.message).toContain('postern run --upstream HOST:PORT --listen HOST:PORT')
  })

  test('a file that was named must be there', () => {
    const readFile = filesOf({ 'postern.yaml': '{}' })
    const global = refusal({ configPath: 'mine.yaml', env: {}, readFile })
    expect([global.code, global.message]).toEqual([
      'CONFIG_MISSING',
      'mine.yaml: there is no such configuration file; create it, or correct -c',
    ])
    const plugins = refusal({ pluginsPath: 'p.yaml', env: {}, readFile })
    expect([plugins.code, plugins.message]).toEqual([
      'CONFIG_MISSING',
      'p.yaml: there is no such plugins file; create it, or correct -p',
    ])
  })

  test('a file that cannot be read is refused with the reason, whatever lies behind it', () => {
    const error = refusal({
      env: {},
      readFile: (path) =>
        path === 'postern.yaml'
          ? { kind: 'refused', message: 'permission denied' }
          : { kind: 'text', text: '{}' },
    })
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.message).toBe(
      'postern.yaml: the configuration file cannot be read: permission denied',
    )
  })
})

describe('problems', () => {
  test('stand in the error as structures too', () => {
    const readFile = filesOf({ 'c.yaml': 'servers:\n  default:\n    adress: 1\n' })
    const error = refusal({ configPath: 'c.yaml', env: {}, readFile })
    if (!(error instanceof ConfigError)) throw error
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.problems).toEqual([
      {
        file: 'c.yaml',
        line: 3,
        column: 5,
        path: 'servers.default.adress',
        message: '"adress" is no key of servers.default',
        nearest: 'address',
      },
    ])
    expect(error.problems.map(problemLine).join('\n')).toBe(error.message)
  })

  test('of both files come in one error', () => {
    const readFile = filesOf({ 'postern.yaml': 'a: 1', 'postern_plugins.yaml': 'b: 1' })
    expect(refusal({ env: {}, readFile }).message.split('\n')).toEqual([
      'postern.yaml:1:1: "a" is no key at the top',
      'postern_plugins.yaml:1:1: "b" is no key at the top',
    ])
  })
})

describe('overrides', () => {
  const files = filesOf({ 'postern.yaml': 'servers: { default: { address: ":1" } }' })
  const env = { POSTERN_SERVERS_DEFAULT_ADDRESS: ':2' }
  const load = (values: Readonly<Record<string, unknown>>) =>
    loadConfig({ env, readFile: files, overrides: { source: 'onConfigLoaded', values } })

  test('beat files and variables, with the types that plugins return', () => {
    const { config } = load({
      'servers.default.address': ':3',
      'servers.default.loginTimeout': 5_000_000_000,
      'loggers.default.noColor': true,
      'loggers.default.output': ['stdout'],
    })
    expect(config.servers.default.address).toBe(':3')
    expect(config.servers.default.loginTimeout).toBe(5000)
    expect(config.loggers.default.noColor).toBe(true)
    expect(config.loggers.default.output).toEqual(['stdout'])
  })

  test('that match no key are notices, with the closest name', () => {
    const { notices } = load({ 'servers.default.adress': ':3', 'loggers.default.level': () => 1 })
    expect(notices).toContain(
      'onConfigLoaded: "servers.default.adress" matches no key (did you mean "address"?)',
    )
    expect(notices).toContain(
      'onConfigLoaded: "loggers.default.level" has a value that no setting can have',
    )
  })

  test('that are invalid are refused by the name of who said so', () => {
    expect(() => load({ 'loggers.default.level': 'loud' })).toThrow(
      /^onConfigLoaded: loggers\.default\.level must be one of/,
    )
  })
})
