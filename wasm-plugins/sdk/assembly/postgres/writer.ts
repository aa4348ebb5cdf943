/**
 * Writes messages of PostgreSQL, one behind the other, into bytes for a verdict: `replace` with
 * what the client or the server says instead, `respond` with what the server would have said.
 * Within `begin` and `end` the length is left to the writer.
 */
import { Bytes } from '../bytes'
import { lengthOf, NONE, ptrOf, Slice } from '../slice'
import { Backend, Frontend } from './messages'

const HEADER_BYTES: i32 = 5

@final
export class MessageWriter {
  readonly bytes: Bytes = new Bytes()
  private from: i32 = 0
  private countAt: i32 = 0

  clear(): this {
    this.bytes.clear()
    return this
  }

  /** False where there was no memory for all of it: then it must not be sent. */
  get isWhole(): bool {
    return !this.bytes.isCut
  }

  /** Begins a message of a type. */
  begin(type: u8): this {
    this.from = this.bytes.length
    this.bytes.byte(type).int32(0)
    return this
  }

  end(): this {
    const length = this.bytes.length - this.from
    if (length >= HEADER_BYTES) {
      store<u32>(this.bytes.ptr + this.from + 1, bswap<u32>(<u32>(length - 1)))
    }
    return this
  }

  /** A whole message as it is. */
  copy(message: Slice): this {
    this.bytes.add(message)
    return this
  }

  byte(value: u8): this {
    this.bytes.byte(value)
    return this
  }

  int16(value: i32): this {
    this.bytes.int16(value)
    return this
  }

  int32(value: i32): this {
    this.bytes.int32(value)
    return this
  }

  raw(run: Slice): this {
    this.bytes.add(run)
    return this
  }

  /** Bytes as a C string: what stands behind a zero byte in them is left out. */
  cString(run: Slice): this {
    const ptr = ptrOf(run)
    const length = lengthOf(run)
    let to = 0
    while (to < length && load<u8>(ptr + to) != 0) to++
    this.bytes.raw(ptr, to).byte(0)
    return this
  }

  /** A text as a C string. */
  cText(text: string): this {
    const from = this.bytes.length
    this.bytes.text(text)
    for (let at = from; at < this.bytes.length; at++) {
      if (load<u8>(this.bytes.ptr + at) == 0) this.bytes.length = at
    }
    this.bytes.byte(0)
    return this
  }

  /** A value with its length before it, as in DataRow and Bind; NONE is NULL. */
  value(run: Slice): this {
    if (run == NONE) this.bytes.int32(-1)
    else this.bytes.int32(lengthOf(run)).add(run)
    return this
  }

  valueText(text: string): this {
    const at = this.bytes.length
    this.bytes.int32(0).text(text)
    if (this.isWhole) store<u32>(this.bytes.ptr + at, bswap<u32>(this.bytes.length - at - 4))
    return this
  }

  // From the client.

  query(sql: Slice): this {
    return this.begin(Frontend.QUERY).cString(sql).end()
  }

  /** Parse without types of parameters. */
  parse(name: Slice, sql: Slice): this {
    return this.begin(Frontend.PARSE).cString(name).cString(sql).int16(0).end()
  }

  /** `target` is S for a statement, P for a portal. */
  describe(target: u8, name: Slice): this {
    return this.begin(Frontend.DESCRIBE).byte(target).cString(name).end()
  }

  close(target: u8, name: Slice): this {
    return this.begin(Frontend.CLOSE).byte(target).cString(name).end()
  }

  /** `rowsMax` 0: all rows. */
  execute(portal: Slice, rowsMax: i32 = 0): this {
    return this.begin(Frontend.EXECUTE).cString(portal).int32(rowsMax).end()
  }

  /** Bind with text values to come: `count` times `value`, then `endBind`. */
  beginBind(portal: Slice, statement: Slice, count: i32): this {
    return this.begin(Frontend.BIND).cString(portal).cString(statement).int16(0).int16(count)
  }

  /** Ends Bind; `format` of all result columns: 0 text, 1 binary. */
  endBind(format: i32 = 0): this {
    return this.int16(1).int16(format).end()
  }

  sync(): this {
    return this.begin(Frontend.SYNC).end()
  }

  flush(): this {
    return this.begin(Frontend.FLUSH).end()
  }

  terminate(): this {
    return this.begin(Frontend.TERMINATE).end()
  }

  copyFail(reason: string): this {
    return this.begin(Frontend.COPY_FAIL).cText(reason).end()
  }

  // From either side.

  copyData(run: Slice): this {
    return this.begin(Frontend.COPY_DATA).raw(run).end()
  }

  copyDone(): this {
    return this.begin(Frontend.COPY_DONE).end()
  }

  // From the server.

  /** `severity` is ERROR or FATAL, `code` an SQLSTATE; "" leaves a field out. */
  errorResponse(
    code: string,
    message: string,
    detail: string = '',
    hint: string = '',
    severity: string = 'ERROR',
  ): this {
    this.begin(Backend.ERROR_RESPONSE)
    return this.fields(severity, code, message, detail, hint)
  }

  noticeResponse(code: string, message: string, detail: string = '', hint: string = ''): this {
    this.begin(Backend.NOTICE_RESPONSE)
    return this.fields('WARNING', code, message, detail, hint)
  }

  private fields(severity: string, code: string, text: string, detail: string, hint: string): this {
    this.field(0x53, severity).field(0x56, severity).field(0x43, code).field(0x4d, text)
    this.field(0x44, detail).field(0x48, hint)
    return this.byte(0).end()
  }

  /** A field of ErrorResponse between `begin` and `byte(0).end()`. */
  field(letter: u8, text: string): this {
    return text.length == 0 ? this : this.byte(letter).cText(text)
  }

  /** RowDescription: then `column` for each, then `endCounted`. */
  beginRowDescription(): this {
    return this.begin(Backend.ROW_DESCRIPTION).beginCount()
  }

  /** A column of no table. `type` is an object id: 25 text, 23 int4, 20 int8, 16 bool. */
  column(name: Slice, type: u32, typeSize: i32 = -1, format: i32 = 0): this {
    this.cString(name)
    return this.columnFacts(0, 0, type, typeSize, -1, format)
  }

  columnText(name: string, type: u32, typeSize: i32 = -1, format: i32 = 0): this {
    this.cText(name)
    return this.columnFacts(0, 0, type, typeSize, -1, format)
  }

  /** All that RowDescription says of a column behind its name; counts it. */
  columnFacts(
    table: u32,
    attribute: i32,
    type: u32,
    typeSize: i32,
    modifier: i32,
    format: i32,
  ): this {
    this.int32(<i32>table).int16(attribute).int32(<i32>type)
    return this.int16(typeSize).int32(modifier).int16(format).count()
  }

  /** DataRow: then `cell` or `cellText` for each column, then `endCounted`. */
  beginDataRow(): this {
    return this.begin(Backend.DATA_ROW).beginCount()
  }

  /** A column's value; NONE is NULL. */
  cell(run: Slice): this {
    return this.value(run).count()
  }

  cellText(text: string): this {
    return this.valueText(text).count()
  }

  endCounted(): this {
    return this.end()
  }

  private beginCount(): this {
    this.countAt = this.bytes.length
    return this.int16(0)
  }

  private count(): this {
    if (this.isWhole) {
      const place = this.bytes.ptr + this.countAt
      store<u16>(place, bswap<u16>(bswap<u16>(load<u16>(place)) + 1))
    }
    return this
  }

  /** `tag` with its rows, as `SELECT 3`; of INSERT it is `INSERT 0`. */
  commandComplete(tag: string, rows: i64 = -1): this {
    this.begin(Backend.COMMAND_COMPLETE).bytes.text(tag)
    if (rows >= 0) this.bytes.byte(0x20).number(rows)
    return this.byte(0).end()
  }

  emptyQueryResponse(): this {
    return this.begin(Backend.EMPTY_QUERY_RESPONSE).end()
  }

  parseComplete(): this {
    return this.begin(Backend.PARSE_COMPLETE).end()
  }

  bindComplete(): this {
    return this.begin(Backend.BIND_COMPLETE).end()
  }

  closeComplete(): this {
    return this.begin(Backend.CLOSE_COMPLETE).end()
  }

  noData(): this {
    return this.begin(Backend.NO_DATA).end()
  }

  portalSuspended(): this {
    return this.begin(Backend.PORTAL_SUSPENDED).end()
  }

  parameterStatus(name: string, value: string): this {
    return this.begin(Backend.PARAMETER_STATUS).cText(name).cText(value).end()
  }

  /** `status` is I outside of a transaction, T in one, E in one that has failed. */
  readyForQuery(status: u8): this {
    return this.begin(Backend.READY_FOR_QUERY).byte(status).end()
  }
}
