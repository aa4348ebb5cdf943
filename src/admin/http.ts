/** The admin HTTP server: metrics for Prometheus, health for whoever decides about traffic. */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Logger } from 'pino'
import { type Address, hostPort, parseAddress } from '../base/address.ts'
import type { CertificatePair } from '../base/certificates.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { EXPOSITION_TYPE } from '../metrics/exposition.ts'

export interface AdminHttpOptions {
  /** `host:port`; without a host on every address of the machine. */
  readonly address: string
  /** Where the metrics stand, such as `/metrics`. */
  readonly path: string
  /** The metrics as Prometheus text. */
  readonly page: () => Promise<string>
  /** Why the gateway is not well, or nothing; told at `/healthz`. */
  readonly healthy: () => readonly string[]
  /** Why no clients should be sent here, or nothing; told at `/readyz`. */
  readonly ready: () => readonly string[]
  readonly log: Logger
  /** The page is served over HTTPS with this certificate; left out: over HTTP. */
  readonly tls?: CertificatePair | null
  /** The configuration's key for the address and the path, for errors. */
  readonly key?: string
}

export interface AdminHttp {
  /** `host:port` as it was bound. */
  readonly address: string
  /** Shows the metrics at another path from now on, which `refusePath` must have let pass. */
  moveTo(path: string): void
  /** The same with its scheme. */
  readonly url: string
  /** Idempotent; breaks off what is being answered. */
  stop(): Promise<void>
}

const HEALTH = '/healthz'
const READINESS = '/readyz'
const REQUEST_BYTES_MAX = 4096
const IDLE_SECONDS_MAX = 10
/** Below this a page is not worth compressing. */
const COMPRESSED_BYTES_MIN = 1024

type Route = (request: Request) => Response | Promise<Response>

/** Listens from now on. Throws LISTEN_FAILED or CONFIG_INVALID, naming the key. */
export async function startAdminHttp(options: AdminHttpOptions): Promise<AdminHttp> {
  const key = options.key ?? 'metrics.default'
  refusePath(options.path, key)
  let routes = routesOf(options, options.path)
  const server = listen(options, `${key}.address`, (request) => {
    const route = routes.get(new URL(request.url).pathname)
    if (route === undefined) return new Response('Not found\n', { status: 404 })
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return new Response('Only GET\n', { status: 405, headers: { allow: 'GET, HEAD' } })
    }
    return route(request)
  })
  const address = hostPort(server.hostname, server.port)
  return {
    address,
    moveTo: (path) => {
      routes = routesOf(options, path)
    },
    url: `${options.tls ? 'https' : 'http'}://${address}`,
    stop: () => server.stop(true),
  }
}

function routesOf(options: AdminHttpOptions, path: string): ReadonlyMap<string, Route> {
  return new Map<string, Route>([
    ['/', () => linkPage(path)],
    [HEALTH, () => healthAnswer(options.healthy())],
    [READINESS, () => healthAnswer(options.ready())],
    [path, (request) => metricsAnswer(request, options)],
  ])
}

/** Throws CONFIG_INVALID where the metrics cannot stand at this path. */
export function refusePath(path: string, key: string): void {
  const wrong = path.startsWith('/') && !/[?#\s]/.test(path) ? takenBy(path) : 'is no path'
  if (wrong === null) return
  const cure = 'choose one such as /metrics'
  throw new GatewayError('CONFIG_INVALID', `${key}.path: "${path}" ${wrong}; ${cure}`)
}

function takenBy(path: string): string | null {
  const taken = path === '/' || path === HEALTH || path === READINESS
  return taken ? 'is taken by another page' : null
}

function listen(options: AdminHttpOptions, key: string, fetch: Route) {
  const address = parseAddress(options.address, 'tcp')
  if (address === null || address.network !== 'tcp') {
    const cure = 'write HOST:PORT, [IPV6]:PORT or :PORT'
    throw new GatewayError('CONFIG_INVALID', `${key}: "${options.address}" is no address; ${cure}`)
  }
  try {
    return serve(address, fetch, options)
  } catch (cause) {
    throw new GatewayError('LISTEN_FAILED', `${key}: ${whyNot(options.address, cause)}`, { cause })
  }
}

function serve(address: Address & { network: 'tcp' }, fetch: Route, options: AdminHttpOptions) {
  const { log, tls } = options
  return Bun.serve({
    hostname: address.host === '' ? '0.0.0.0' : address.host,
    port: address.port,
    // Bun shares the port with whoever asks for it where `development` is off.
    reusePort: false,
    fetch,
    idleTimeout: IDLE_SECONDS_MAX,
    maxRequestBodySize: REQUEST_BYTES_MAX,
    development: false,
    ...(tls ? { tls: { cert: tls.certificate, key: tls.key } } : {}),
    error: (thrown) => {
      log.error(thrown, 'a request to the admin HTTP server failed')
      return new Response('The gateway could not answer; its log says why\n', { status: 500 })
    },
  })
}

function whyNot(address: string, cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  switch (code) {
    case 'EADDRINUSE':
      return `${address} is in use; stop the other program or choose another port`
    case 'EADDRNOTAVAIL':
      return `${address} is no address of this machine; choose one that is, or :PORT for all`
    case 'EACCES':
      return `${address} needs a permission that this user lacks; choose a port above 1023`
    default:
      return `cannot listen on ${address} (${sentenceOf(cause)})`
  }
}

function healthAnswer(reasons: readonly string[]): Response {
  const headers = { 'cache-control': 'no-store' }
  if (reasons.length === 0) return Response.json({ status: 'SERVING' }, { headers })
  return Response.json({ status: 'NOT_SERVING', reasons }, { status: 503, headers })
}

const compress = promisify(gzip)

async function metricsAnswer(request: Request, { page }: AdminHttpOptions): Promise<Response> {
  const text = await page()
  const headers = { 'content-type': EXPOSITION_TYPE, vary: 'accept-encoding' }
  if (text.length < COMPRESSED_BYTES_MIN || !acceptsGzip(request)) {
    return new Response(text, { headers })
  }
  const compressed = await compress(text)
  return new Response(new Uint8Array(compressed), {
    headers: { ...headers, 'content-encoding': 'gzip' },
  })
}

/** A weight of zero means that it is not wanted. */
function acceptsGzip(request: Request): boolean {
  const offers = (request.headers.get('accept-encoding') ?? '').toLowerCase().split(',')
  return offers.some((offer) => {
    const [coding = '', ...parameters] = offer.split(';').map((part) => part.trim())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1'
    return (coding === 'gzip' || coding === '*') && Number(weight) > 0
  })
}

function linkPage(path: string): Response {
  const links = [path, HEALTH, READINESS]
    .map((link) => `<li><a href="${escapeHtml(link)}">${escapeHtml(link)}</a></li>`)
    .join('')
  const page =
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Postern</title></head>' +
    `<body><h1>Postern</h1><ul>${links}</ul></body></html>\n`
  return new Response(page, { headers: { 'content-type': 'text/html; charset=utf-8' } })
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
