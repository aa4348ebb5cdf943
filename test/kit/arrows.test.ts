import { expect, test } from 'bun:test'
import { arrowFault } from './arrows.ts'

test.each([
  ['src/hooks/chain.ts', 'src/base/errors.ts'],
  ['src/hooks/chain.ts', 'src/hooks/step.ts'],
  ['src/tcp/session.ts', 'src/hooks/chain.ts'],
  ['src/plugins/grpc/plugin.ts', 'src/plugins/plugin.ts'],
  ['src/generation.ts', 'src/tcp/listener.ts'],
  ['src/gateway.ts', 'src/generation.ts'],
  ['src/cli/run.ts', 'src/gateway.ts'],
  ['src/catalog/conformance.ts', 'src/plugins/plugin.ts'],
  ['src/main.ts', 'src/cli/run.ts'],
  ['test/tcp/session.test.ts', 'src/tcp/session.ts'],
])('%s may import %s', (from, to) => {
  expect(arrowFault(from, to)).toBeNull()
})

test.each([
  ['src/base/errors.ts', 'src/hooks/hook.ts'],
  ['src/hooks/chain.ts', 'src/metrics/meter.ts'],
  ['src/hooks/chain.ts', 'src/plugins/plugin.ts'],
  ['src/tcp/session.ts', 'src/plugins/plugin.ts'],
  ['src/tcp/session.ts', 'src/generation.ts'],
  ['src/generation.ts', 'src/gateway.ts'],
  ['src/gateway.ts', 'src/catalog/store.ts'],
  ['src/gateway.ts', 'src/cli/run.ts'],
  ['src/catalog/store.ts', 'src/tcp/listener.ts'],
  ['src/main.ts', 'src/gateway.ts'],
  ['src/newcomer/file.ts', 'src/base/errors.ts'],
  ['src/base/errors.ts', 'test/kit/wire.ts'],
])('%s may not import %s', (from, to) => {
  expect(arrowFault(from, to)).not.toBeNull()
})
