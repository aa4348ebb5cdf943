/**
 * The process of a plugin that another process of the gateway runs: called from here over a
 * connection of our own, and neither started, read nor ended. Brings grpc-js with it, as
 * `running.ts` does; import this file late.
 */
import type { GatewayError } from '../../base/errors.ts'
import type { Attachment } from '../plugin.ts'
import { connect, type PluginClient } from './client.ts'
import { LastLines } from './last-lines.ts'
import { type Running, readResult } from './running.ts'
import { decodeStruct, encodeStruct, type Struct } from './struct.ts'

class AttachedRunning implements Running {
  readonly attachment: Attachment
  readonly description: Struct
  readonly lastLines = new LastLines()
  readonly #client: PluginClient
  #end: GatewayError | null = null

  constructor(attachment: Attachment, resultBytesMax: number) {
    this.attachment = attachment
    this.description = decodeStruct(attachment.description)
    const { address, pluginCertificate, certificate, key } = attachment
    const handshake = { address, certificate: pluginCertificate }
    this.#client = connect(handshake, { certificate, key }, resultBytesMax)
  }

  get pid(): number {
    return this.attachment.pid
  }
  get checksum(): string {
    return this.attachment.checksum
  }
  get ended(): GatewayError | null {
    return this.#end
  }

  async call(method: string, params: Struct, timeoutMs: number): Promise<Struct> {
    return readResult(method, await this.#client.call(method, encodeStruct(params), timeoutMs))
  }

  ping(timeoutMs: number): Promise<boolean> {
    return this.#client.ping(timeoutMs)
  }

  fail(error: GatewayError): void {
    this.#end ??= error
    this.#client.fail(error)
  }

  /** What it prints is read where it is run. */
  silent(): Promise<void> {
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    this.#client.close()
  }

  kill(): Promise<void> {
    return this.stop()
  }
}

/** Connections are made by the first calls. Throws where the description cannot be read. */
export function attach(attachment: Attachment, resultBytesMax: number): Running {
  return new AttachedRunning(attachment, resultBytesMax)
}
