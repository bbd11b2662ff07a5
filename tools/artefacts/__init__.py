"""What the hosts receive. artefacts.toml names the roots, artefacts.lock what they resolved to, with checksums.

products.py   the rows of artefacts.toml, and where everything lies
maven.py      jars
packing.py    one archive of one product
__main__.py   the commands: lock, vendor, all
"""
