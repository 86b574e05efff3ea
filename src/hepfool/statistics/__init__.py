# SPDX-License-Identifier: BSD-3-Clause
"""Marginals, dependence and compatibility of data sets, and what one moved event does to them."""

from __future__ import annotations
