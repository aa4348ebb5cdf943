/** The one line by which a plugin says where it listens and what certificate it has. */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { GatewayError } from '../../base/errors.ts'

/** Where a plugin listens. */
export type Address =
  | { readonly network: 'unix'; readonly path: string }
  | { readonly network: 'tcp'; readonly host: string; readonly port: number }

export interface Handshake {
  readonly address: Address
  /** PEM of the plugin's own certificate: the only one that its connection may present. */
  readonly certificate: string
}

/** What the line may take, and what is read while waiting for it. */
export const HANDSHAKE_BYTES_MAX = 65_536

/** What the kernel's `sun_path` holds on Linux, less its closing zero. */
const SOCKET_PATH_BYTES_MAX = 107

// go-plugin's own threshold: anything shorter is no certificate.
const CERTIFICATE_CHARACTERS_MIN = 51

/** A line as an error may show it: without control characters, and not endless. */
export function shown(line: string): string {
  const text = JSON.stringify(line.length > 120 ? `${line.slice(0, 120)}…` : line)
  // JSON leaves the control characters above ASCII as they are; terminals obey some of them.
  return text.replace(/[\u007f-\u009f\u2028\u2029]/g, '?')
}

function refuse(problem: string, cause?: unknown): never {
  throw new GatewayError('PLUGIN_HANDSHAKE', problem, cause === undefined ? {} : { cause })
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true
  return isIP(host) === 4 && host.startsWith('127.')
}

function tcpAddress(text: string): Address {
  const colon = text.lastIndexOf(':')
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  const port = Number(text.slice(colon + 1))
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) {
    refuse(`the TCP address ${shown(text)} is not HOST:PORT; the plugin must be mended`)
  }
  if (!isLoopback(host)) {
    refuse(`it listens on ${shown(text)}, not on this machine alone; it must use 127.0.0.1`)
  }
  return { network: 'tcp', host, port }
}

function unixAddress(path: string): Address {
  if (!path.startsWith('/')) refuse(`the socket path ${shown(path)} is not absolute`)
  const length = Buffer.byteLength(path)
  if (length > SOCKET_PATH_BYTES_MAX) {
    refuse(
      `the socket path has ${length} bytes, more than the ${SOCKET_PATH_BYTES_MAX} a socket can ` +
        `have; choose a shorter run folder: ${shown(path)}`,
    )
  }
  return { network: 'unix', path }
}

function addressOf(network: string, text: string): Address {
  if (network === 'unix') return unixAddress(text)
  if (network === 'tcp') return tcpAddress(text)
  return refuse(`it listens on the network ${shown(network)}; only unix and tcp are spoken`)
}

function certificateOf(field: string): string {
  if (field.length < CERTIFICATE_CHARACTERS_MIN) {
    refuse(
      'it sent no certificate; with PLUGIN_CLIENT_CERT in its environment a plugin must serve ' +
        'TLS and put its certificate into the handshake line',
    )
  }
  try {
    return new X509Certificate(Buffer.from(field, 'base64')).toString()
  } catch (cause) {
    const problem = 'the last field of its handshake line is no X.509 certificate in base64'
    return refuse(`${problem}; the plugin must be mended`, cause)
  }
}

/**
 * Reads `1|1|unix|/path|grpc|<certificate>`. Throws a GatewayError(PLUGIN_HANDSHAKE) whose sentence
 * has no subject: the caller puts the plugin's name and path in front.
 */
export function parseHandshake(line: string): Handshake {
  const [core, app, network, address, rpc, certificate] = line.trim().split('|')
  if (app === undefined || network === undefined || address === undefined) {
    refuse(
      `it printed ${shown(line)} instead of a handshake line; localPath must be a GatewayD ` +
        'plugin, which prints nothing before that line',
    )
  }
  const cure = 'use a build of it for GatewayD'
  if (core !== '1') {
    refuse(`it speaks core protocol ${shown(core ?? '')}, the gateway speaks 1; ${cure}`)
  }
  if (app !== '1') refuse(`it speaks plugin protocol ${shown(app)}, the gateway speaks 1; ${cure}`)
  if (rpc !== 'grpc') {
    const spoken = rpc === undefined || rpc === '' ? 'net/rpc' : shown(rpc)
    refuse(`it speaks ${spoken}, the gateway speaks grpc only; ${cure}`)
  }
  return { address: addressOf(network, address), certificate: certificateOf(certificate ?? '') }
}
