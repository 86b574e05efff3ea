# SPDX-License-Identifier: BSD-3-Clause
"""What to do against an attack: flag its events with a second network (``detector``)."""
