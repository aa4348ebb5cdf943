/** What a plugin in TypeScript needs, and no more: handshake, TLS, services, metrics, log. */
import 'reflect-metadata'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js'
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import {
  type Struct,
  StructSchema,
  type Value,
  ValueSchema,
} from '../../../src/plugins/grpc/wire/plugin/v1/plugin_pb.ts'

const COOKIE = '5712b87aa5d7e9f9e9ab643e6603181c5b796015cb1c09d6f5ada882bf2a1872'
const SERVICE = '/plugin.v1.GatewayDPluginService'
const DAY_MS = 86_400_000
const CURVE = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** The parameters of a hook, and its result. */
export type Params = Struct

export interface PluginSource {
  readonly name: string
  readonly version: string
  readonly description: string
  /** By number: the method's name, and what is called with its parameters. */
  readonly hooks: Readonly<Record<number, readonly [method: string, act: Act]>>
  /** A page of Prometheus text. */
  readonly metrics: () => string
}
type Act = (params: Params) => Params | Promise<Params>

type Plain = string | number | boolean | Plain[] | { readonly [key: string]: Plain }

function toValue(plain: Plain): Value {
  const kind = (): Value['kind'] => {
    if (typeof plain === 'string') return { case: 'stringValue', value: plain }
    if (typeof plain === 'number') return { case: 'numberValue', value: plain }
    if (typeof plain === 'boolean') return { case: 'boolValue', value: plain }
    if (!Array.isArray(plain)) return { case: 'structValue', value: toStruct(plain) }
    const values = plain.map(toValue)
    return { case: 'listValue', value: { $typeName: 'plugin.v1.ListValue', values } }
  }
  return create(ValueSchema, { kind: kind() })
}

function toStruct(plain: { readonly [key: string]: Plain }): Struct {
  const fields = Object.entries(plain).map(([key, value]) => [key, toValue(value)] as const)
  return create(StructSchema, { fields: Object.fromEntries(fields) })
}

/** The bytes in a field; empty where there are none. */
export function bytesOf(params: Params, key: string): Uint8Array {
  const kind = params.fields[key]?.kind
  return kind?.case === 'bytesValue' ? kind.value : new Uint8Array(0)
}

/** Adds the signal by which a plugin refuses what it was asked about. */
export function terminate(params: Params): Params {
  const signals = toValue([{ name: 'terminate', metadata: { terminate: true } }])
  return { ...params, fields: { ...params.fields, __signals__: signals } }
}

/** One line on standard error, as the gateway reads them: hclog's JSON. */
export function log(level: string, message: string, fields: Record<string, Plain> = {}): void {
  const told = { '@level': level, '@message': message, '@timestamp': new Date().toISOString() }
  process.stderr.write(`${JSON.stringify({ ...told, ...fields })}\n`)
}

/** A certificate of our own for localhost, as PEM, and its key. */
async function makeCertificate(): Promise<{ certificate: string; key: string }> {
  cryptoProvider.set(globalThis.crypto)
  const keys = await crypto.subtle.generateKey(CURVE, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost',
    notBefore: new Date(Date.now() - 30_000),
    notAfter: new Date(Date.now() + 3650 * DAY_MS),
    signingAlgorithm: CURVE,
    keys,
    extensions: [
      new SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }]),
      new BasicConstraintsExtension(true, undefined, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    ],
  })
  const secret = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    certificate: certificate.toString('pem'),
    key: PemConverter.encode(secret, 'PRIVATE KEY'),
  }
}

type Call = ServerUnaryCall<Uint8Array, Uint8Array>
type Answer = sendUnaryData<Uint8Array>

/** Adds a method that takes and gives bytes. */
function addMethod(server: Server, path: string, act: (bytes: Uint8Array) => Promise<Uint8Array>) {
  const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes)
  const asIs = (bytes: Buffer): Uint8Array => bytes
  const handler = (call: Call, answer: Answer): void => {
    act(call.request).then(
      (bytes) => answer(null, bytes),
      (thrown) => answer({ code: status.INTERNAL, details: String(thrown) }),
    )
  }
  const definition = {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: asBuffer,
    requestDeserialize: asIs,
    responseSerialize: asBuffer,
    responseDeserialize: asIs,
  }
  const handlers: Record<string, UntypedHandleCall> = { method: handler }
  server.addService({ method: definition }, handlers)
}

function addServices(server: Server, source: PluginSource, about: Struct, end: () => void): void {
  const hooks = Object.values(source.hooks)
  for (const [method, act] of [['GetPluginConfig', () => about] as const, ...hooks]) {
    addMethod(server, `${SERVICE}/${method}`, async (bytes) =>
      toBinary(StructSchema, await act(fromBinary(StructSchema, bytes))),
    )
  }
  // Field 1, SERVING.
  addMethod(server, '/grpc.health.v1.Health/Check', async () => Uint8Array.of(8, 1))
  addMethod(server, '/plugin.GRPCController/Shutdown', async () => {
    setImmediate(end)
    return new Uint8Array(0)
  })
}

/** Serves the plugin until the gateway says that it is over. */
export async function serve(source: PluginSource): Promise<void> {
  const { env } = process
  const gateway = env['PLUGIN_CLIENT_CERT']
  if (env['GATEWAYD_PLUGIN'] !== COOKIE || gateway === undefined) {
    process.stderr.write('This is a plugin of a gateway and cannot be run by itself.\n')
    process.exit(1)
  }
  const folder = env['PLUGIN_UNIX_SOCKET_DIR'] ?? '/tmp'
  const metricsSocket = env['METRICS_UNIX_DOMAIN_SOCKET'] ?? join(folder, 'metrics.sock')
  // A socket that another process left would be in the way.
  rmSync(metricsSocket, { force: true })
  Bun.serve({ unix: metricsSocket, fetch: () => new Response(source.metrics()) })
  const { name, version, description } = source
  const about = toStruct({
    id: { name, version },
    description,
    config: { metricsEnabled: 'true', metricsUnixDomainSocket: metricsSocket },
    hooks: Object.keys(source.hooks).map(Number),
  })
  const server = new Server({
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
  })
  const socket = join(folder, 'plugin.sock')
  addServices(server, source, about, () => process.exit(0))
  const { certificate, key } = await makeCertificate()
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(certificate) }
  const secrets = ServerCredentials.createSsl(Buffer.from(gateway), [pair], true)
  server.bindAsync(`unix:${socket}`, secrets, (error) => {
    if (error !== null) throw error
    const told = certificate.replace(/-----[^-]+-----|\s|=/g, '')
    process.stdout.write(`1|1|unix|${socket}|grpc|${told}\n`)
  })
}
