/** Every key of the global file can be set by a variable, whatever its letters. */
import { expect, test } from 'bun:test'
import { Draft } from '../../src/config/draft.ts'
import { layVariables } from '../../src/config/overlay.ts'
import { pluginsSchema } from '../../src/config/plugin-schema.ts'
import { Problems } from '../../src/config/problem.ts'
import { globalSchema } from '../../src/config/schema.ts'

function laid(env: Readonly<Record<string, string>>) {
  const global = new Draft('global')
  const plugins = new Draft('plugins')
  const layers = [
    { draft: global, schema: globalSchema },
    { draft: plugins, schema: pluginsSchema },
  ]
  const problems = new Problems()
  const result = layVariables(layers, env, () => ({ kind: 'absent' }), problems)
  return { ...result, global: global.root, plugins: plugins.root }
}

test('keys with capitals inside are found, those of clients too', () => {
  const { global, used } = laid({
    GATEWAYD_CLIENTS_DEFAULT_WRITES_RECEIVECHUNKSIZE: '1',
    GATEWAYD_CLIENTS_TENANT_READS_STARTUPPARAMS_PASSWORD: 'p',
    GATEWAYD_SERVERS_DEFAULT_LOADBALANCER_CONSISTENTHASH_USESOURCEIP: 'true',
    GATEWAYD_RAFT_NODEID: 'n',
  })
  expect(used.length).toBe(4)
  expect(global).toEqual({
    clients: {
      default: { writes: { receiveChunkSize: '1' } },
      tenant: { reads: { startupParams: { password: 'p' } } },
    },
    servers: { default: { loadBalancer: { consistentHash: { useSourceIp: 'true' } } } },
    raft: { nodeId: 'n' },
  })
})

test('keys of the plugins file are found, but not the lists of plugins and policies', () => {
  const { plugins, unused } = laid({
    GATEWAYD_HEALTHCHECKPERIOD: '2s',
    POSTERN_OBSERVERSQUEUEDMAX: '5',
    GATEWAYD_PLUGINS: '[]',
    GATEWAYD_POLICIES: '[]',
    GATEWAYD_PLUGINS_0_NAME: 'x',
  })
  expect(plugins).toEqual({ healthCheckPeriod: '2s', observersQueuedMax: '5' })
  expect(unused).toEqual(['GATEWAYD_PLUGINS', 'GATEWAYD_PLUGINS_0_NAME', 'GATEWAYD_POLICIES'])
})

test('variables of others, and ours that lead nowhere, change nothing', () => {
  const { global, plugins, used, unused } = laid({
    PATH: '/bin',
    SERVERS_DEFAULT_ADDRESS: ':1',
    postern_drainTimeout: '1s',
    POSTERN_: 'x',
    POSTERN_SERVERS: 'x',
    POSTERN_SERVERS_DEFAULT: 'x',
    POSTERN_SERVERS_DEFAULT_ADDRESS_MORE: 'x',
    POSTERN_SERVERS__ADDRESS: 'x',
    POSTERN_LOGGERS_A_B_LEVEL: 'x',
  })
  expect({ global, plugins, used }).toEqual({ global: {}, plugins: {}, used: [] })
  expect(unused.length).toBe(6)
})
