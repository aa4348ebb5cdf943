/** The generated code is that of the `.proto` files, and the table of hooks is that of the wire. */
import { expect, test } from 'bun:test'
import { staleFiles } from '../../../../scripts/proto.ts'
import { HOOKS, methodName } from '../../../../src/hooks/hook.ts'
import {
  GatewayDPluginService,
  HookNameSchema,
} from '../../../../src/plugins/grpc/wire/plugin/v1/plugin_pb.ts'
import { METHODS } from '../../../fixtures/grpc/kit.ts'

test('the generated code is what the .proto files give today', async () => {
  expect(await staleFiles()).toEqual([])
})

test('every hook has its number in the enum and its method in the service', () => {
  const numbers = Object.fromEntries(
    HookNameSchema.values.map((value) => [value.name, value.number]),
  )
  const snakeCase = (name: string): string =>
    name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
  for (const { name, number } of HOOKS) {
    expect(numbers[`HOOK_NAME_${snakeCase(name)}`]).toBe(number)
  }
  const methods = GatewayDPluginService.methods.map((method) => method.name)
  expect(methods).toEqual(['GetPluginConfig', ...HOOKS.map((hook) => methodName(hook.name))])
  expect(methods).toEqual([...METHODS])
})
