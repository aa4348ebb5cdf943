/** A plugin's process finds what it needs, and of ours only what it was promised. */
import { describe, expect, test } from 'bun:test'
import { COOKIE_VALUE, environmentOf } from '../../../src/plugins/grpc/environment.ts'

const HANDSHAKE = { certificate: 'PEM', socketFolder: '/run/postern' }
const OURS = {
  PATH: '/bin',
  HOME: '/root',
  LC_ALL: 'C',
  LC_TIME: 'de_DE',
  SECRET: 's',
  BUN_OPTIONS: '--inspect',
  POSTERN_KEY: 'k',
  GATEWAYD_PLUGIN: 'wrong',
  GATEWAYD_X: 'x',
  PGPASSWORD: 'p',
  PLUGIN_MULTIPLEX_GRPC: 'true',
  UNSET: undefined,
}

function environment(env: readonly string[], inheritEnv: true | readonly string[]) {
  return environmentOf('tried', { env, inheritEnv }, OURS, HANDSHAKE)
}

const FIXED = {
  MAGIC_COOKIE_KEY: 'GATEWAYD_PLUGIN',
  MAGIC_COOKIE_VALUE: COOKIE_VALUE,
  GATEWAYD_PLUGIN: COOKIE_VALUE,
  PLUGIN_MIN_PORT: '50000',
  PLUGIN_MAX_PORT: '60000',
  PLUGIN_PROTOCOL_VERSIONS: '1',
  PLUGIN_CLIENT_CERT: 'PEM',
  PLUGIN_UNIX_SOCKET_DIR: '/run/postern',
}

describe('the environment of a plugin', () => {
  test('is the handshake alone where nothing is inherited', () => {
    expect(environment([], [])).toEqual(FIXED)
  })

  test('inherits names and wildcards', () => {
    expect(environment([], ['PATH', 'LC_*', 'UNSET'])).toEqual({
      ...FIXED,
      PATH: '/bin',
      LC_ALL: 'C',
      LC_TIME: 'de_DE',
    })
  })

  test('inherits protected names by no wildcard, but by name', () => {
    expect(environment([], ['*', 'PGPASSWORD'])).toEqual({
      ...FIXED,
      PATH: '/bin',
      HOME: '/root',
      LC_ALL: 'C',
      LC_TIME: 'de_DE',
      SECRET: 's',
      PGPASSWORD: 'p',
    })
    expect(environment([], ['PG*', 'POSTERN_*', 'BUN_*', 'GATEWAYD_*'])).toEqual(FIXED)
  })

  test('inherits all by true, less what would change the handshake', () => {
    const all = environment([], true)
    expect(all['POSTERN_KEY']).toBe('k')
    expect(all['GATEWAYD_PLUGIN']).toBe(COOKIE_VALUE)
    expect(all).not.toHaveProperty('PLUGIN_MULTIPLEX_GRPC')
  })

  test("takes the entry's own over all that is inherited, never over the handshake", () => {
    const env = ['PATH=/opt', 'MAGIC_COOKIE_KEY=OTHER', 'PLUGIN_CLIENT_CERT=mine', 'DSN=a=b']
    expect(environment(env, ['PATH'])).toEqual({
      ...FIXED,
      PATH: '/opt',
      MAGIC_COOKIE_KEY: 'OTHER',
      DSN: 'a=b',
    })
  })

  test('refuses an entry without a name, and does not show what may be a secret', () => {
    const attempt = (): unknown => environment(['A=1', 'hunter2'], [])
    expect(attempt).toThrow('env[1] of plugin tried is not NAME=value')
    expect(attempt).not.toThrow('hunter2')
    expect(() => environment(['=x'], [])).toThrow('env[0]')
  })
})
