/**
 * What the data path asks of a protocol: to cut a byte stream into pieces, to say which replies
 * are owed, and to say no in its own words. Pure: bytes in, bytes out, no sockets.
 */

/** Why something is refused; `code` is a SQLSTATE where the protocol has one. */
export interface Refused {
  readonly code: string
  readonly message: string
  readonly detail?: string | undefined
  readonly hint?: string | undefined
}

/** What a piece of a stream is:
 * - `none`: more bytes are needed
 * - `pass`: bytes that no step wants; they go on at once
 * - `unit`: whole messages for the chain
 * - `inject`: bytes of the gateway's own, to be written here
 * - `oversize`: a message too large to be held; answer with `streamOversize` or `dropOversize`
 * - `edge`: a request for encryption, shown to some steps, already answered
 * - `cancel`: a CancelRequest
 * - `violation`: bytes that are not of this protocol; `violation` tells why
 */
export type Piece =
  | 'none'
  | 'pass'
  | 'unit'
  | 'inject'
  | 'oversize'
  | 'edge'
  | 'cancel'
  | 'violation'

/** How units are cut: the widest unit that a step of the direction asks for. */
export type Cut = 'message' | 'batch' | 'reply'

/** Which messages become units. `tags[tag]` is 1 for a wanted one; null: nothing is wanted. */
export interface Wanted {
  readonly cut: Cut
  readonly tags: Uint8Array | null
}

/** Bytes held for steps, all sessions of a listener together. */
export interface Budget {
  held: number
  readonly heldMax: number
  /** Times that the budget was spent. */
  spent: number
}

export interface FlowLimits {
  /** Largest message or reply given to a step, in bytes. */
  readonly messageBytesMax: number
  readonly budget: Budget
}

/** A part of a unit for one step; `wanted` is false for messages that the step did not name. */
export interface Part {
  readonly bytes: Uint8Array
  readonly wanted: boolean
}

/** One direction of one conversation. */
export interface Flow {
  /** The bytes of the piece that `next` returned; borrowed until the next call of it. */
  readonly bytes: Uint8Array
  /** True for a unit that is only a part of a reply too large to be given whole. */
  readonly over: boolean
  /** Why the last piece was a violation, as a sentence. */
  readonly violation: string
  /**
   * A short cut for what most chunks are: whole messages that nobody wants. True: all of the chunk
   * has been noted and may be written as it is. False: nothing was done; push it.
   */
  pass(chunk: Uint8Array): boolean
  /** Takes the next bytes from the source. Call `next` until `none` before the next push. */
  push(chunk: Uint8Array): void
  next(): Piece
  /** The source has ended: what is held comes as last pieces. */
  end(): void
  streamOversize(): void
  dropOversize(): void
  /** Notes whole messages that passed the chain; returns what of them is to be written. */
  forward(bytes: Uint8Array): Uint8Array
  /**
   * Refuses a unit in the protocol's words; returns what is to be written in its place (may be
   * empty). Null: the protocol has no words for it here, and the session must be closed.
   */
  deny(unit: Uint8Array, refused: Refused): Uint8Array | null
  /** Cuts a unit for one step; `tags` as in Wanted, null for all. */
  parts(bytes: Uint8Array, cut: Cut, tags: Uint8Array | null): readonly Part[]
  /** Why the bytes are not whole, well-formed messages of this direction; null if they are. */
  flaw(bytes: Uint8Array): string | null
  /** True while the source should be paused, because too much is owed. */
  readonly full: boolean
  /** Gives up what is held; idempotent. */
  release(): void
}

export interface ClientFlow extends Flow {
  /** Why the bytes cannot answer a request; null if they can. */
  answerFlaw(bytes: Uint8Array): string | null
  /** Answers a unit without the server; returns what the server must be sent all the same. */
  respond(unit: Uint8Array, bytes: Uint8Array): Uint8Array
}

/** Asked by a conversation when it has something of its own to write on the other side. */
export interface Waker {
  wakeToServer(): void
  wakeToClient(): void
}

export interface Conversation {
  readonly fromClient: ClientFlow
  readonly fromServer: Flow
  readonly user: string
  readonly database: string
  readonly applicationName: string
  /** True once the server has let the client in. */
  readonly loggedIn: boolean
  /** True while the client has said nothing yet that reached the server: it may be routed. */
  readonly routable: boolean
  /** Nothing owed and no transaction open. */
  readonly idle: boolean
  /** Replies are owed to the client. */
  readonly owes: boolean
  /** The next word is surely the server's: it owes a reply that it needs nothing more for. */
  readonly awaitsServer: boolean
  /** True while only a part of a message has been let through to the client: no words fit there. */
  readonly midMessage: boolean
  /** True where a client may go on sending when its server has ended. */
  readonly outlivesServer: boolean
  /** Names the server session for a later CancelRequest; "" until known. */
  readonly cancelKey: string
  /** The client is refused: it is heard out as far as the protocol needs, then told and closed. */
  refuse(refused: Refused): void
  /** True once a refused client has been told. */
  readonly refusalTold: boolean
  /** Last words to a client; null where none would be understood, or the client has left. */
  farewell(refused: Refused): Uint8Array | null
}

export interface ConversationOptions {
  readonly fromClient: Wanted
  readonly fromServer: Wanted
  readonly limits: FlowLimits
  readonly waker: Waker
}

export interface Protocol {
  readonly name: string
  /** The tag of a message by its name in the direction from client or server. */
  tag(from: 'client' | 'server', name: string): number | undefined
  /** The key that a CancelRequest names, comparable with `Conversation.cancelKey`. */
  cancelTarget(request: Uint8Array): string
  converse(options: ConversationOptions): Conversation
}
